"""Random regular expressions, and texts for them."""

import random
import re

SYMBOLS = "ab1Z \nß_"
_ATOMS = [
    *("a", "b", "1", ".", "Z", "ß", "_", "", r"\d", r"\w", r"\s", r"\S", r"\n"),
    *("[ab]", "[^a]", "[a-z]", r"[^\W\d]", "[A-Z]", "^", "$", r"\A", r"\Z"),
]
_FLAGS = ["i", "m", "s", "a", "-i", "im", "i-s", "x"]
_REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"]


def random_pattern(source: random.Random) -> str:
    """Return a pattern that `re` takes, of what is regular only."""
    while True:
        pattern = _part(source, 0) + _part(source, 0)
        if source.random() < 0.2:
            pattern = source.choice(["(?i)", "(?m)", "(?s)", "(?im)"]) + pattern
        try:
            re.compile(pattern)
        except re.error:
            continue
        return pattern


def random_text(source: random.Random) -> str:
    return "".join(source.choices(SYMBOLS, k=source.choice([0, 1, 1, 2, 2, 3, 4, 6])))


def _part(source: random.Random, depth: int) -> str:
    kind = source.random()
    if depth > 3 or kind < 0.45:
        return source.choice(_ATOMS)
    one = _part(source, depth + 1)
    if kind < 0.6:
        return one + _part(source, depth + 1)
    if kind < 0.7:
        return f"(?:{one}|{_part(source, depth + 1)})"
    if kind < 0.75:
        return f"({one})"
    if kind < 0.8:
        return f"(?{source.choice(_FLAGS)}:{one})"
    return f"(?:{one}){source.choice(_REPEATS)}"
