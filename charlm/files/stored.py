"""Check the types of values from a file, which may be damaged or forged."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from charlm.files.untrusted import InvalidDataError

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""How many of something; every such number is a float, too."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_Kind = TypeVar("_Kind")


def checked(kind: type[_Kind], fields: Any) -> _Kind:
    """Restore a dataclass from parsed JSON; raises `InvalidDataError` for other types."""
    try:
        text = json.dumps(fields)
    except (ValueError, RecursionError) as reason:  # a number of too many digits; many levels
        raise InvalidDataError(f"it is not JSON: {reason}") from None
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as reason:
        raise InvalidDataError(str(reason)) from None


def item(fields: Any, name: str, kind: type[_Kind]) -> _Kind:
    """Return an item of a JSON object; raises `InvalidDataError` where it is of another type."""
    value = fields.get(name) if type(fields) is dict else None
    if type(value) is not kind:
        raise InvalidDataError(f"{name} should be of type {kind.__name__}")
    return value
