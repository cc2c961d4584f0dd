"""Write an integer network as a safetensors file, read one back, and identify it by a digest."""

import hashlib
import json
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from charlm.corpus.vocabulary import Vocabulary
from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json
from charlm.portable.network import (
    IntegerLayer,
    IntegerNetwork,
    IntegerOpening,
    Projection,
    Weights,
)
from charlm.portable.sums import check_network
from charlm.portable.tables import DIGEST

NUM_DIGEST_BYTES = 16
MAX_OPENINGS = 4
"""Number of a checkpoint's openings that the network contains."""
_METADATA = "charlm_integers"
_TYPES = {"I16": "<i2", "I32": "<i4", "I64": "<i8", "F32": "<f4"}


def to_bytes(network: IntegerNetwork) -> bytes:
    """Return a safetensors file with the network."""
    description, arrays = taken_apart(network)
    return safetensors.numpy.save(arrays, {_METADATA: description})


def digest_of(network: IntegerNetwork) -> bytes:
    """Return the first 16 bytes of the SHA-256 of a network: its description, and its arrays.

    Each array is preceded by its name and a newline; the arrays come in the order of their names.
    """
    description, arrays = taken_apart(network)
    digest = hashlib.sha256(description.encode("ascii"))
    for name in sorted(arrays):
        digest.update(f"\n{name}\n".encode("ascii") + arrays[name].tobytes())
    return digest.digest()[:NUM_DIGEST_BYTES]


def from_bytes(data: bytes) -> IntegerNetwork:
    """Read a network that may be damaged or forged; raises `InvalidDataError`."""
    arrays = arrays_of(data)
    size = int.from_bytes(data[:8], "little")
    header = parse_json(as_ascii(data[8 : 8 + size]))
    description = parse_json(item(item(header, "__metadata__", dict), _METADATA, str))
    network = _put_together(description, arrays)
    check_network(network)
    return network


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file that have a type of charlm's numbers.

    Raises `InvalidDataError` if it is not such a file.
    """
    try:
        tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call] # of a Rust module
    except safetensors.SafetensorError as reason:
        raise InvalidDataError(str(reason)) from None
    return {
        name: np.frombuffer(tensor["data"], _TYPES[tensor["dtype"]]).reshape(tensor["shape"])
        for name, tensor in tensors
        if tensor["dtype"] in _TYPES
    }


def taken_apart(network: IntegerNetwork) -> tuple[str, dict[str, np.ndarray]]:
    """Return the description of a network in JSON, and its arrays, little-endian, by name."""
    arrays: dict[str, np.ndarray] = {"W_hq": network.W_hq, "b_q": network.b_q}
    bits = {"logits": network.logit_bits}

    def add(projection: Projection, name: str, letter: str) -> None:
        arrays[f"{name}.W_x{letter}"], arrays[f"{name}.b_{letter}"] = (
            projection.W.values,
            projection.b,
        )
        bits[f"{name}.W_x{letter}"], bits[f"{name}.b_{letter}"] = projection.W.bits, projection.bits

    if network.embedding is not None:
        arrays["embedding"], bits["embedding"] = network.embedding.values, network.embedding.bits
    for number, layer in enumerate(network.layers):
        arrays[f"layers.{number}.W_hh"] = layer.W_hh
        add(layer.inputs, f"layers.{number}", "h")
        if layer.gate is not None:
            add(layer.gate, f"layers.{number}", "g")
    for number, opening in enumerate(network.openings):
        arrays[f"openings.{number}.hidden"] = opening.hidden
        arrays[f"openings.{number}.memory"] = opening.memory
    description = {
        "tables": DIGEST,
        "cell": network.cell,
        "num_layers": len(network.layers),
        "vocabulary": network.vocabulary.to_json(),
        "bits": bits,
        "boundary": network.boundary,
        "openings": [opening.symbol for opening in network.openings],
    }
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    little = {n: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for n, a in arrays.items()}
    return text, little


def _put_together(description: Any, arrays: dict[str, np.ndarray]) -> IntegerNetwork:
    """Return the network of `taken_apart`; raises `InvalidDataError` if something is missing."""
    if item(description, "tables", str) != DIGEST:
        raise InvalidDataError("it needs other tables, those of another version of charlm")
    bits = item(description, "bits", dict)

    def weights(name: str) -> Weights:
        return Weights(_array(arrays, name, 2, np.int16), item(bits, name, int))

    def projection(name: str, letter: str) -> Projection:
        bias = f"{name}.b_{letter}"
        W = weights(f"{name}.W_x{letter}")
        return Projection(W, _array(arrays, bias, 1, np.int32), item(bits, bias, int))

    cell = item(description, "cell", str)
    names = [f"layers.{number}" for number in range(min(item(description, "num_layers", int), 100))]
    return IntegerNetwork(
        cell=cell,
        vocabulary=Vocabulary.from_json(item(description, "vocabulary", dict)),
        embedding=weights("embedding") if "embedding" in arrays else None,
        layers=tuple(
            IntegerLayer(
                projection(name, "h"),
                _array(arrays, f"{name}.W_hh", 2, np.int16),
                projection(name, "g") if cell == "mogrifier" else None,
            )
            for name in names
        ),
        W_hq=_array(arrays, "W_hq", 2, np.int16),
        b_q=_array(arrays, "b_q", 1, np.int32),
        logit_bits=item(bits, "logits", int),
        boundary=description.get("boundary"),
        openings=tuple(
            IntegerOpening(
                symbol,
                _array(arrays, f"openings.{number}.hidden", 2, np.int32),
                _array(arrays, f"openings.{number}.memory", 2, np.int32),
            )
            for number, symbol in enumerate(item(description, "openings", list)[:MAX_OPENINGS])
        ),
    )


def _array(
    arrays: dict[str, np.ndarray], name: str, num_dimensions: int, kind: type[np.signedinteger[Any]]
) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.ndim != num_dimensions or array.dtype != kind:
        raise InvalidDataError(f"{name} should hold numbers in {kind.__name__}")
    return array
