"""Describe all mistakes in a config in one line."""

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from charlm.config.expectations import expectation
from charlm.config.schema import Config
from charlm.suggestions import did_you_mean_key

_MAX_MISTAKES = 40
"""Largest number of mistakes in one message."""


def describe_mistakes(invalid: ValidationError) -> str:
    """Return every mistake by its dotted key, with its value and the remedy."""
    errors = invalid.errors()
    mistakes = [_describe(error) for error in errors[:_MAX_MISTAKES]]
    if len(errors) > _MAX_MISTAKES:
        mistakes.append(f"and {len(errors) - _MAX_MISTAKES} more")
    count = "" if len(errors) == 1 else f"{len(errors)} mistakes: "
    return f"{count}{'; '.join(mistakes)}"


def describe_value(name: str, error: ErrorDetails) -> str:
    """Return what is wrong with the value of `name`, and what is expected."""
    return f"{name} is {error['input']!r:.60}: {expectation(error)}"


def _describe(error: ErrorDetails) -> str:
    name = ".".join(f"{key!s:.60}" for key in error["loc"]) or "the config"
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        section = "".join(f"{key}." for key in error["loc"][:-1])
        near = did_you_mean_key(str(error["loc"][-1]), known, start=section)
        hint = near or f"the keys are {', '.join(known)}"
        return f"{name} is not a key; {hint}"
    if isinstance(error["input"], BaseModel | dict) and len(error["loc"]) <= 1:
        return f"{name}: {expectation(error)}"
    return describe_value(name, error)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the section at a location."""
    section: Any = Config
    for key in location:
        section = section.model_fields[key].annotation
    return list(section.model_fields)
