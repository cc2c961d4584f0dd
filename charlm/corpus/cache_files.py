"""Digest the files of a cached corpus, and map those that have not changed to memory."""

import hashlib
import os
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from charlm.files.untrusted import InvalidDataError, item

_MAX_DIGESTED_BYTES = 64 << 20
"""Size of a file above which only its length and modification time are checked, not its digest.

Reading 2 GB takes a second or more, which would be most of a later run's startup.
Such a file is synchronised to disk before it takes its place, so a power cut leaves no part of it
unwritten.
"""
_BLOCK_BYTES = 1 << 20
"""Number of bytes to read at a time."""


def digest_of_file(
    file: BufferedReader, on_block: Callable[[bytes], None] = lambda block: None
) -> str | None:
    """Return the SHA-256 of a file, and pass every block to `on_block`; None for a large file."""
    if os.fstat(file.fileno()).st_size > _MAX_DIGESTED_BYTES:
        return None
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        on_block(block)
    return digest.hexdigest()


def map_file(
    path: Path,
    description: dict[str, Any],
    kind: Any,
    length: int,
    on_block: Callable[[bytes], None] = lambda block: None,
) -> np.ndarray:
    """Map a file of a corpus to memory; raises `InvalidDataError` if it has changed."""
    with path.open("rb") as file:  # opened once: another file may replace it meanwhile
        status = os.fstat(file.fileno())
        if status.st_mtime_ns != item(description, "written", dict).get(path.name):
            raise InvalidDataError(f"{path}: modified since it was written")
        if status.st_size != length * np.dtype(kind).itemsize:
            raise InvalidDataError(f"{path}: incomplete")
        if digest_of_file(file, on_block) != item(description, "digests", dict).get(path.name, ""):
            raise InvalidDataError(f"{path}: changed since it was written")
        if length == 0:  # an empty file cannot be mapped
            return np.zeros(0, kind)
        return np.memmap(file, kind, "r", shape=(length,))
