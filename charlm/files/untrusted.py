"""Read files that may be damaged, forged or too large, and check their content."""

import errno
import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A count; a float represents every such number exactly."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_MAX_BRACKETS_AND_QUOTES = 1 << 18
"""Largest number of these in a JSON text, whose values take up to 50 times its size in memory."""
_MAX_NUMBERS = 1_200_000
"""Largest number of numbers in a JSON text, which take ten times its size in memory.

A vocabulary has at most 1,114,112.
"""

_Kind = TypeVar("_Kind")


class InvalidDataError(ValueError):
    """Data that charlm did not write in this form: damaged or forged.

    Only checks of data raise it, so catching it hides no bugs.
    """


def read_bounded(path: Path, megabytes: int) -> bytes:
    """Read a file; raises `OSError` if it is larger than this limit."""
    with path.open("rb") as file:
        data = file.read((megabytes << 20) + 1)
    if len(data) > megabytes << 20:
        raise OSError(errno.EFBIG, f"larger than {megabytes} MB")
    return data


def as_ascii(data: bytes) -> str:
    """Return ASCII bytes as text; raises `InvalidDataError` for other bytes."""
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidDataError("it is not ASCII") from None


def parse_json(text: str, max_numbers: int = _MAX_NUMBERS) -> Any:
    """Parse JSON in ASCII.

    Raises `InvalidDataError` for other text, and for JSON with more values than charlm writes,
    before they fill the memory.
    """
    # A string with a non-ASCII character takes up to four times the memory.
    num_delimiters = sum(map(text.count, '[{"'))
    is_large = num_delimiters > _MAX_BRACKETS_AND_QUOTES or text.count(",") > max_numbers
    if is_large or not text.isascii():
        raise InvalidDataError("it contains data that charlm does not write")
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidDataError("it is nested too deeply") from None
    except ValueError as reason:  # not JSON, or a number with too many digits
        raise InvalidDataError(f"it is not JSON: {reason}") from None


def checked(kind: type[_Kind], fields: Any) -> _Kind:
    """Restore a dataclass from parsed JSON; raises `InvalidDataError` for other types."""
    try:
        text = json.dumps(fields)
    except (ValueError, RecursionError) as reason:  # a number with too many digits; deep nesting
        raise InvalidDataError(f"it is not JSON: {reason}") from None
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as reason:
        raise InvalidDataError(str(reason)) from None


def item(fields: Any, name: str, kind: type[_Kind]) -> _Kind:
    """Return an item of a JSON object; raises `InvalidDataError` if it has another type."""
    value = fields.get(name) if type(fields) is dict else None
    if type(value) is not kind:
        raise InvalidDataError(f"{name} should be of type {kind.__name__}")
    return value
