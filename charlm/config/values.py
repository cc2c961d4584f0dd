"""Define the types of config values, and how YAML may write them."""

import codecs
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PositiveFloat

from charlm.formatting import option_duration

_NUMBER = r"((?:[0-9]+\.?[0-9]*|\.[0-9]+))"
_DURATION = re.compile(
    rf"(?:{_NUMBER}\s*h)?\s*(?:{_NUMBER}\s*m(?:in)?)?\s*(?:{_NUMBER}\s*(s?))?", re.ASCII
)


def parse_duration(value: Any) -> Any:
    """Read `90`, `90s`, `3m`, `1h30` or `1h30m15s` as seconds; keep values of other types.

    A number without a unit means the next smaller unit: minutes after hours, seconds otherwise.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None or not any(match.group(1, 2, 3)):
        raise ValueError("should be a time such as 90s, 3m, 1h30 or 1h30m15s")
    hours, minutes, rest = (float(number or 0) for number in match.group(1, 2, 3))
    is_in_minutes = match[1] is not None and match[2] is None and not match[4]
    return 3600 * hours + 60 * minutes + rest * (60 if is_in_minutes else 1)


def written_duration(seconds: float) -> str | float:
    """Write seconds as `parse_duration` reads them: 180 as 3m; as a number if that is inexact."""
    written = option_duration(seconds)
    return written if parse_duration(written) == seconds else seconds


def canonical_encoding(name: str) -> str:
    """Return the name that Python gives to an encoding of characters."""
    try:
        known = codecs.lookup(name)
    except (LookupError, ValueError):
        raise ValueError("should be an encoding that Python knows, such as utf-8") from None
    if not known._is_text_encoding:  # bytes-to-bytes codecs such as `hex` are not encodings
        raise ValueError("should be an encoding of characters, such as utf-8")
    return known.name.removesuffix("-sig")  # a byte order mark is always removed


def as_tuple(value: Any) -> Any:
    """Convert a list, or one path instead of a list of one, to a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def three_fractions(value: Any) -> Any:
    """Read one number as the training fraction; validation and test share the rest."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value <= 1:
            raise ValueError("should be a fraction, such as 0.8, or three that add up to 1")
        rest = round((1 - value) / 2, 12)
        return (float(value), rest, rest)
    fractions = as_tuple(value)
    if isinstance(fractions, tuple) and len(fractions) != 3:
        raise ValueError("should be three fractions, for training, validation and test")
    return fractions


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Factor = Annotated[float, Field(gt=0.0, lt=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Size = Annotated[int, Field(gt=0, lt=2**24)]
Paths = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Seconds = Annotated[
    PositiveFloat,
    BeforeValidator(parse_duration),
    PlainSerializer(written_duration, when_used="json-unless-none"),
]
