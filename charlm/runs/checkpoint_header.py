"""Read the header of a safetensors file that is not trusted (the format is in `checkpoint`)."""

import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from charlm.errors import CheckpointError
from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json

FORMAT_VERSION = 4
METADATA = "charlm"
"""Key of charlm's metadata in the metadata of the header."""
_DTYPES = {"F64", "F32", "F16", "BF16", "C64", "I64", "I32", "I16", "I8", "U8", "BOOL"}
"""Data types that all versions of PyTorch support; charlm writes few of them."""
_ELEMENT_LIMIT = 2**60
"""Limit for the product of the nonzero sizes of a tensor, which PyTorch computes."""
_HEADER_LIMIT_BYTES = 9_400_000
"""Largest header: the symbols of a vocabulary of all code points take 8.9 million bytes."""


def open_file(path: Path) -> BinaryIO:
    """Open a file once for all checks and reads, because it may be replaced at any time.

    Opening does not block on a pipe.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        return os.fdopen(descriptor, "rb")
    except OSError:  # a folder
        os.close(descriptor)
        raise


def read_header(file: BinaryIO) -> dict[str, Any]:
    """Return the header of a safetensors file; raises `InvalidDataError`."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise InvalidDataError("not a regular file")
    size = int.from_bytes(file.read(8), "little")
    text = as_ascii(file.read(min(size, _HEADER_LIMIT_BYTES, status.st_size)))
    if len(text) != size:
        raise InvalidDataError("truncated")
    header = parse_json(text)
    if type(header) is not dict:
        raise InvalidDataError("the header is not an object")
    return header


def read_metadata(path: Path, file: BinaryIO) -> dict[str, Any]:
    """Return the metadata of a checkpoint; raises `CheckpointError`, as `read_entries` does."""
    return read_entries(path, file)[0]


def read_entries(path: Path, file: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read and check the header of a checkpoint only; return the metadata, and the tensors by name.

    Of a tensor, the header has the type, shape and offsets. Raises `CheckpointError` unless format
    version and size are valid.
    """
    try:
        header = read_header(file)
        start = file.tell()
        metadata = parse_json(item(header.pop("__metadata__", None), METADATA, str))
        version, _ = item(metadata, "format_version", int), item(metadata, "sha256", str)
        ends = [end_offset(tensor) for tensor in header.values()]
        if os.fstat(file.fileno()).st_size != start + max(ends, default=0):
            raise InvalidDataError("incomplete")
    except InvalidDataError:
        raise CheckpointError(
            f"{path}: not a charlm checkpoint, or one cut short; give a run's folder, or "
            "another checkpoint of it"
        ) from None
    if version != FORMAT_VERSION:
        remedy = "upgrade charlm-rnn" if version > FORMAT_VERSION else "use the older charlm"
        raise CheckpointError(
            f"{path}: written in format {version}, and this charlm reads format {FORMAT_VERSION}; "
            f"{remedy}"
        )
    return dict(metadata), header


def step_of(counters: Any) -> int | None:
    """Return the number of steps in the counters of a checkpoint; None if they have none."""
    counters = counters.get("trainer", counters) if type(counters) is dict else None
    step = counters.get("step") if type(counters) is dict else None
    return int(step) if type(step) is int else None


def end_offset(tensor: Any) -> int:
    """Return the end offset of a tensor in the header; raises `InvalidDataError`."""
    dtype, shape = item(tensor, "dtype", str), item(tensor, "shape", list)
    offsets = item(tensor, "data_offsets", list)
    if dtype not in _DTYPES or len(offsets) != 2 or not set(map(type, shape + offsets)) <= {int}:
        raise InvalidDataError("an entry is not a tensor")
    if not (
        min(shape, default=0) >= 0 and math.prod(max(1, size) for size in shape) < _ELEMENT_LIMIT
    ):
        raise InvalidDataError("the shape of the tensor is invalid")
    return int(offsets[1])
