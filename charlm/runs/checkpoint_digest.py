"""The SHA-256 of a checkpoint, which the file itself contains: it shows damage."""

import hashlib
from pathlib import Path

from charlm.errors import CheckpointError

NO_DIGEST = "0" * 64
"""Placeholder for the digest while it is computed."""


def with_digest(data: bytes) -> bytes:
    """Return a file with the first `NO_DIGEST` in it replaced by its digest."""
    return data.replace(NO_DIGEST.encode(), hashlib.sha256(data).hexdigest().encode(), 1)


def check_digest(path: Path, data: bytes, stated: str) -> None:
    """Raise `CheckpointError` unless `stated`, which the file contains, is its digest."""
    expected = stated.encode(errors="replace")
    place, whole = data.find(expected), memoryview(data)
    digest = hashlib.sha256(whole[:place])
    digest.update(NO_DIGEST.encode())
    digest.update(whole[place + len(expected) :])
    if digest.hexdigest().encode() != expected:
        raise CheckpointError(
            f"{path}: damaged (its SHA-256 differs from the stated one); use another checkpoint "
            "of the run, or a copy"
        )
