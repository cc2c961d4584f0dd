"""Files from elsewhere, which may be of any size, or endless, and JSON that may hold anything."""

import errno
import json
from pathlib import Path
from typing import Any

_MOST_MARKS = 1 << 18
"""Brackets and quotes of one JSON text: what they stand for takes up to 50 times its text."""
_MOST_NUMBERS = 1_200_000
"""They take up to ten times their text; a vocabulary of all code points has 1,114,112."""


class InvalidDataError(ValueError):
    """Raised for data that charlm did not write in this form: damaged or forged.

    Only checks of data raise it, so that catching it hides no bugs.
    """


def read_bounded(path: Path, megabytes: int) -> bytes:
    """Read a file; raises `OSError`, before memory is full, if it is larger."""
    with path.open("rb") as file:
        data = file.read((megabytes << 20) + 1)
    if len(data) > megabytes << 20:
        raise OSError(errno.EFBIG, f"larger than {megabytes} MB")
    return data


def as_ascii(data: bytes) -> str:
    """Return ASCII bytes as text; raises `InvalidDataError`."""
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidDataError("it is not ASCII") from None


def parse_json(text: str, most_numbers: int = _MOST_NUMBERS) -> Any:
    """Parse JSON in ASCII; raises `InvalidDataError`.

    So it does, before memory is full, for what holds more than charlm ever writes.
    """
    # A character beyond ASCII makes its whole string up to four times as long in memory.
    is_large = sum(map(text.count, '[{"')) > _MOST_MARKS or text.count(",") > most_numbers
    if is_large or not text.isascii():
        raise InvalidDataError("it contains data that charlm does not write")
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidDataError("it is nested too deeply") from None
    except ValueError as reason:  # not JSON, or a number with too many digits
        raise InvalidDataError(f"it is not JSON: {reason}") from None
