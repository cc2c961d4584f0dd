"""Describe each character of a text by nameable features: quotes, brackets, places, cases.

Each feature is a number for each character, after it is read: 0 or 1, a depth, or a place. A span
in quotes or brackets begins with its opening character and ends before its closing one.
"""

import keyword
import re
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from charlm.corpus.vocabulary import code_points

Feature = Float32[np.ndarray, " characters"]

_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"""'
    r"|'''(?:\\.|[^\\])*?'''"
    r'|"(?:\\.|\n(?!\s*\n)|[^"\\\n]){0,2000}?"'
    r"|(?:(?<!\w)|(?<=\b[bfruBFRU]))'(?:\\.|[^'\\\n]){0,2000}?'(?!\w)"
    r"|“[^”]{0,2000}?”|«[^»]{0,2000}?»|„[^“”]{0,2000}?[“”]",
    re.DOTALL,
)
"""Text in quotes: in triple ones, in double ones up to a blank line, in single ones in a line.

An apostrophe within a word opens nothing, except after a prefix of Python's strings.
"""
_COMMENT = re.compile(r"(?:^|(?<=\s))(?:#|//)[^\n]*", re.MULTILINE)
_BRACKETS = {"round": "()", "square": "[]", "curly": "{}"}
_LONGEST_BRACKETS = 5000
"""Characters between brackets; farther apart, they are no pair."""
_INDENTATION = re.compile(r"^[ \t]+", re.MULTILINE)
_WORD = re.compile(r"\w+")
_KEY_WORDS = (
    *(word for word in keyword.kwlist if word.islower()),
    *("function", "var", "let", "const", "static", "void", "int", "struct", "public", "private"),
    *("switch", "typedef", "enum", "fn", "mut", "impl", "package", "func"),
)
_AFTER_KEY_WORD = re.compile(rf"\b(?:{'|'.join(_KEY_WORDS)})\b(?P<after>[ \t(]+\w*)")
_TAB_WIDTH = 8
_MOST_WORD = 20
_MOST_LINE = 200
"""Limits of places in a word and in a line: a few very long ones would hide the others."""


def features_of(text: str) -> Iterator[tuple[str, Feature]]:
    """Yield each feature that varies within the text, by its name."""
    for name, feature in _all_features(text):
        numbers = feature.astype(np.float32)
        if len(numbers) and (numbers != numbers[0]).any():
            yield name, numbers


def _all_features(text: str) -> Iterator[tuple[str, Shaped[np.ndarray, " characters"]]]:
    points = code_points(text)
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    for name, quotes in (("double", '"“„«'), ("single", "'")):
        spans = [(start, end - 1) for start, end in quoted if text[start] in quotes]
        triple = [one for one in spans if text[one[0] : one[0] + 3] in ('"""', "'''")]
        plain = [one for one in spans if one not in {*triple}]
        yield f"inside {name} quotes", _inside(len(text), plain)
        if name == "double":
            yield "inside triple double quotes", _inside(len(text), triple)
    in_quotes = _inside(len(text), [(start, end - 1) for start, end in quoted])
    yield "inside quotes", in_quotes
    comments = [match.span() for match in _COMMENT.finditer(text) if not in_quotes[match.start()]]
    yield "inside a comment", _inside(len(text), comments)
    depth = np.zeros(len(text), np.int32)
    for name, pair in _BRACKETS.items():
        inside = _depth(len(text), _pairs(text, pair, in_quotes))
        depth += inside
        yield f"inside {name} brackets", inside > 0
    yield "inside brackets", depth > 0
    yield "depth of brackets", depth
    yield from _places(text, points)
    yield "upper case", _each(points, str.isupper)
    yield "digit", _each(points, str.isdigit)
    yield "after a key word", _inside(len(text), _after_key_words(text))


def _places(
    text: str, points: Shaped[np.ndarray, " characters"]
) -> Iterator[tuple[str, Shaped[np.ndarray, " characters"]]]:
    """Yield places in lines and words, and indentation."""
    number = np.arange(len(text))
    last_newline = np.maximum.accumulate(np.where(points == ord("\n"), number, -1))
    column = number - last_newline
    yield "place in the line", np.minimum(column, _MOST_LINE)
    yield "time since a newline (log)", np.log2(1 + column)
    words = [match.span() for match in _WORD.finditer(text)]
    in_word = _inside(len(text), words)
    outside = np.maximum.accumulate(np.where(in_word, -1, number))
    yield "inside a word", in_word
    yield "place in the word", np.minimum(number - outside, _MOST_WORD)
    indentations = [match.span() for match in _INDENTATION.finditer(text)]
    yield "inside the indentation", _inside(len(text), indentations)
    yield "indentation of the line", _indentation(text, last_newline, indentations)


def _indentation(
    text: str, last_newline: Shaped[np.ndarray, " characters"], spans: list[tuple[int, int]]
) -> Shaped[np.ndarray, " characters"]:
    """Return the width of the indentation of each character's line, as far as it is read."""
    width = np.zeros(len(text), np.int32)
    of_line = np.zeros(len(text) + 1, np.int32)  # by the place of the newline before the line
    for start, end in spans:
        tabs = np.array([_TAB_WIDTH if one == "\t" else 1 for one in text[start:end]])
        width[start:end] = np.cumsum(tabs)
        of_line[start] = width[end - 1]
    whole: np.ndarray = of_line[last_newline + 1]
    is_newline = last_newline == np.arange(len(text))
    return np.where(is_newline, 0, np.where(width > 0, width, whole))


def _after_key_words(text: str) -> list[tuple[int, int]]:
    return [match.span("after") for match in _AFTER_KEY_WORD.finditer(text)]


def _pairs(
    text: str, pair: str, in_quotes: Bool[np.ndarray, " characters"]
) -> list[tuple[int, int]]:
    """Return where brackets of a kind open and close; those in quotes are no brackets."""
    pairs, opened = list[tuple[int, int]](), list[int]()
    for match in re.finditer(f"[{re.escape(pair)}]", text):
        place = match.start()
        if in_quotes[place]:
            continue
        if match[0] == pair[0]:
            opened.append(place)
        elif opened and place - (start := opened.pop()) <= _LONGEST_BRACKETS:
            pairs.append((start, place))
    return pairs


def _depth(size: int, spans: list[tuple[int, int]]) -> Shaped[np.ndarray, " characters"]:
    """Return how many spans contain each character."""
    steps = np.zeros(size + 1, np.int32)
    for start, end in spans:
        steps[start] += 1
        steps[end] -= 1
    return np.cumsum(steps[:-1], dtype=np.int32)


def _inside(size: int, spans: list[tuple[int, int]]) -> Bool[np.ndarray, " characters"]:
    """Return which characters are in any of the spans."""
    return _depth(size, spans) > 0


def _each(
    points: Shaped[np.ndarray, " characters"], test: Callable[[str], bool]
) -> Bool[np.ndarray, " characters"]:
    """Return for which characters a test is true; each different one is tested once."""
    different, places = np.unique(points, return_inverse=True)
    answers = np.array([test(chr(point)) for point in different.tolist()], bool)
    return answers[places]
