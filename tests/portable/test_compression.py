"""Compression: every file comes back, on any path; damage is noticed."""

import hashlib
import io
import json
import lzma
import os
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.integer_networks import (
    SHAPES,
    VOCABULARY,
    random_model,
    random_network,
    rounded,
)
from support.properties import examples

from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.files.untrusted import InvalidDataError
from charlm.portable import compressed_file, compression
from charlm.portable import network as network_module
from charlm.portable.frequencies import TOTAL_BITS
from charlm.portable.model_bytes import digest_of, from_bytes, taken_apart, to_bytes
from charlm.portable.network import IntegerNetwork
from charlm.portable.steps import NumpySteps

NETWORK = random_network("lstm")
BYTES = random_network("gru", Vocabulary.of_bytes())


def compressed(data: bytes, network: IntegerNetwork, *, with_model: bool = False) -> bytes:
    target = io.BytesIO()
    for _ in compression.compress(io.BytesIO(data), target, network, with_model=with_model):
        pass
    return target.getvalue()


def decompressed(data: bytes, network: IntegerNetwork | None) -> bytes:
    def find_network(_digest: bytes) -> IntegerNetwork:
        assert network is not None
        return network

    target = io.BytesIO()
    for _ in compression.decompress(io.BytesIO(data), target, find_network):
        pass
    return target.getvalue()


@pytest.mark.parametrize("network", [NETWORK, BYTES], ids=["characters", "bytes"])
@examples(40)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8")),
        st.text("ab\r\n", max_size=200).map(str.encode),
        st.just(b"the rain\r\n" * 30),
    )
)
def test_every_file_comes_back(network: IntegerNetwork, data: bytes) -> None:
    """Text, binary data, any line ends, unknown characters, an empty file."""
    assert decompressed(compressed(data, network), network) == data


def test_another_path_decompresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one implementation compressed, the other decompresses, with the model from the file."""
    network = random_network("gru", seed=5)
    data = "the rain had stopped, 你 and é\n".encode() * 4
    with_kernels = compressed(data, network, with_model=True)
    monkeypatch.setattr(compression, "steps_of", NumpySteps)
    assert compressed(data, network, with_model=True) == with_kernels
    assert decompressed(with_kernels, None) == data


def test_blocks_continue_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many blocks, cut anywhere: inside a character, between CR and LF."""
    data = "a é你\r\n".encode() * 40 + os.urandom(50) + b"\r"
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(compression, "_PIECE_BYTES", size)
        assert decompressed(compressed(data, NETWORK), NETWORK) == data


def test_the_size_is_that_of_the_score() -> None:
    """The file has the bits of the intervals, and at most 80 bytes more."""
    ids = np.random.default_rng(0).integers(1, len(VOCABULARY), 3000)
    data = VOCABULARY.decode(ids).encode()
    _, sizes = NumpySteps(NETWORK).read(ids)
    ideal = (TOTAL_BITS - np.log2(sizes)).sum() / 8
    assert ideal < len(compressed(data, NETWORK)) < ideal * 1.0005 + 80


def test_noise_hardly_grows() -> None:
    """A block that coding would make longer is stored."""
    data = os.urandom(2000)
    assert len(compressed(data, NETWORK)) < len(data) + 80


def test_damage_is_noticed() -> None:
    """A file with a changed bit, or cut short, or longer, is refused."""
    whole = compressed(b"the rain had stopped" * 9, NETWORK)
    source = random.Random(0)
    damaged = [whole[:size] for size in range(0, len(whole), 7)] + [whole + b"x"]
    for _ in range(150):
        copy = bytearray(whole)
        copy[source.randrange(len(copy))] ^= 1 << source.randrange(8)
        damaged.append(bytes(copy))
    for data in damaged:
        with pytest.raises(CharlmError):
            decompressed(data, NETWORK)


def test_another_model_is_refused() -> None:
    data = compressed(b"text", NETWORK)
    with pytest.raises(CharlmError, match="compressed with the model"):
        decompressed(data, random_network("lstm", seed=1))


def test_the_format_stays() -> None:
    """The same weights make the same integers, and the same file, in every later version."""
    file = hashlib.sha256()
    for shape in SHAPES:
        model = random_model(shape)
        for parameter in model.parameters():
            steps = torch.arange(parameter.numel()) * 7919 % 4001 - 2000
            parameter.data = (steps / 4096).view(parameter.shape)
        file.update(compressed("the rain, 你 and é\n".encode() * 9, rounded(model)))
    assert file.hexdigest()[:16] == "851b471e574d1f34"


def test_each_byte_of_the_header_counts() -> None:
    """No bit of a header can change without being noticed, with a model in the file or without."""
    for with_model in (False, True):
        whole = compressed(b"the rain", NETWORK, with_model=with_model)
        for place in range(22):
            for bit in range(8):
                copy = bytearray(whole)
                copy[place] ^= 1 << bit
                with pytest.raises(CharlmError):
                    decompressed(bytes(copy), NETWORK)


@pytest.mark.parametrize("data", [b"", b"\x89CL", b"a text", b"a text of more than 22 bytes"])
def test_other_files_are_named_so(data: bytes) -> None:
    with pytest.raises(CharlmError, match="charlm did not compress it"):
        decompressed(data, NETWORK)


def test_a_small_file_fills_no_memory() -> None:
    """A model that unpacks to far more than its bytes is refused before it is unpacked."""
    filters = [compressed_file._LZMA2[0] | {"preset": 0}]
    stream = lzma.compress(bytes(1 << 28), lzma.FORMAT_RAW, filters=filters)
    header = compressed(b"", NETWORK, with_model=True)[:22]
    tracemalloc.start()
    with pytest.raises(CharlmError, match="model is damaged"):
        decompressed(header + len(stream).to_bytes(8, "little") + stream, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 27


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("embedding", 60),
        ("layers.0.W_xh", -31),
        ("layers.0.b_h", 11),
        ("layers.0.b_h", 24),
        ("logits", -1),
        ("logits", 24),
    ],
)
def test_forged_bits_are_refused(name: str, bits: int) -> None:
    """Bits that no rounding chooses, with which implementations could differ."""
    description, arrays = taken_apart(NETWORK)
    fields = json.loads(description)
    fields["bits"][name] = bits
    forged = safetensors.numpy.save(arrays, {"charlm_integers": json.dumps(fields)})
    with pytest.raises(InvalidDataError, match="bits"):
        from_bytes(forged)


def test_a_large_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of all symbols' sums has a limit."""
    monkeypatch.setattr(network_module, "MAX_ROW_NUMBERS", 100)
    with pytest.raises(InvalidDataError, match="too large"):
        from_bytes(to_bytes(NETWORK))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_network_is_read_back(shape: str) -> None:
    network = random_network(shape)
    assert digest_of(from_bytes(to_bytes(network))) == digest_of(network)


def test_a_damaged_network_is_refused() -> None:
    """Damage to the model in a file is noticed, whatever it hits."""
    whole = to_bytes(NETWORK)
    source = random.Random(0)
    for _ in range(100):
        copy = bytearray(whole)
        copy[source.randrange(len(copy))] ^= 1 << source.randrange(8)
        try:
            changed = from_bytes(bytes(copy))
        except InvalidDataError:
            continue
        assert digest_of(changed) != digest_of(NETWORK)


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Compression reads a piece at a time."""
    asked = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    for _ in compression.compress(Source(b"abc" * 1000), io.BytesIO(), NETWORK):
        pass
    assert set(asked) == {compression._PIECE_BYTES}
