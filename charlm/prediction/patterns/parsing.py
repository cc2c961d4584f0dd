"""Parse a regular expression with Python's own parser, once for all callers."""

import re
from functools import lru_cache
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from charlm.errors import CharlmError


class Pattern(NamedTuple):
    """A regular expression, parsed and compiled."""

    tree: Any
    """Its syntax tree, from Python's parser."""
    matcher: re.Pattern[str]


@lru_cache(maxsize=16)
def parse(pattern: str) -> Pattern:
    """Parse a pattern; raises `CharlmError` if Python refuses it."""
    try:
        tree = _parser.parse(pattern)
        return Pattern(tree, _compiler.compile(tree))
    except (re.error, OverflowError, RecursionError) as reason:
        raise CharlmError(f"the pattern {pattern!r} is invalid: {reason}; correct it") from None
