"""Numbers that come back from a file, in which anybody may have written anything."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""How many of something; every such number is a float, too."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_Kind = TypeVar("_Kind")


def checked(kind: type[_Kind], fields: Any) -> _Kind:
    """Make a dataclass of what its JSON has become; raises `ValueError` for other types."""
    return TypeAdapter(kind).validate_json(json.dumps(fields), strict=True)
