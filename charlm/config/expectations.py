"""Say what a value should be, in plain words instead of those of pydantic."""

import re

from pydantic_core import ErrorDetails

from charlm.suggestions import did_you_mean

_EXPECTED = {
    "should be an integer": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    "should be a number": ("float_type", "float_parsing"),
    "should be a finite number": ("finite_number",),
    "should be true or false": ("bool_type", "bool_parsing"),
    "should be a text": ("string_type",),
    "should be a list": ("tuple_type", "list_type"),
    "should be a section with keys below it": ("model_type",),
}
_EXPECTED_OF_TYPE = {type_: words for words, types in _EXPECTED.items() for type_ in types}
_LIMITS = {"greater than or equal to": "at least", "less than or equal to": "at most"}


def expectation(error: ErrorDetails) -> str:
    """Return what the value of an error should be."""
    if (expected := _EXPECTED_OF_TYPE.get(error["type"])) is not None:
        return expected
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if choices := re.search(r" is not one of (.+?)\.?$", message):
        names = re.findall(r"'([^']*)'", choices[1])
        near = did_you_mean(str(error["input"]), names)
        return f"should be {', '.join(names[:-1])} or {names[-1]}{near and f'; {near}'}"
    for words, plain in _LIMITS.items():
        message = message.replace(words, plain)
    return message
