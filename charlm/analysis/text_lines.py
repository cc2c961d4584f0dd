"""Look at the lines of a text before training: their ends, repetitions, lists, mark-up."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MARK_UP = {
    "HTML or XML tags": re.compile(r"</?[A-Za-z][^<>\n]{0,200}>"),
    "HTML entities": re.compile(r"&(?:[a-z]{2,8}|#\d{2,6});"),
    "wiki mark-up": re.compile(r"\[\[[^\[\]\n]+\]\]|\{\{[^{}\n]+\}\}|^==+[^=\n]+==+$", re.M),
    "Markdown": re.compile(r"^#{1,6} \S|^```|\*\*[^\s*][^*\n]*\*\*|\]\(https?:", re.M),
}
_FEWEST_MARKS, _LEAST_MARKED = 3, 1e-3
"""Marks, and marks for each line, from which mark-up is reported."""
_FEWEST_ITEMS, _MOST_WORDS, _MOST_ITEM_CHARACTERS = 20, 3, 120
_MOST_BLANK, _MOST_SENTENCES = 0.02, 0.1
"""Fractions of blank lines, and of lines that end like a sentence, that a list has at most."""
_DATED = re.compile(
    r"\W*(?:\d{4}[-/]\d\d[-/]\d\d|\d{1,2}:\d\d|[A-Z][a-z]{2} +\d{1,2} \d\d:|\d+(?:\.\d+){3}\s)"
)
"""Beginning of a line of a log: a date, a time or an address."""
_LEAST_DATED = 0.8
_SEPARATOR = re.compile(r"%|<\|\w+\|>")
"""A line that stands between items, as in files of fortunes, or in texts for language models."""
_FEWEST_SEPARATORS = 3


@dataclass(frozen=True)
class LineEndCounts:
    """Number of line ends of each kind."""

    lf: int
    cr_lf: int
    cr: int

    @property
    def is_mixed(self) -> bool:
        return sum(map(bool, (self.lf, self.cr_lf, self.cr))) > 1


@dataclass(frozen=True)
class RepeatedLines:
    """Lines that occur more than once."""

    lines: int
    """Number of lines that are not blank."""
    repeated: int
    """Number of lines that have occurred before."""
    most_frequent: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        return self.repeated / max(1, self.lines)


@dataclass(frozen=True)
class ItemList:
    """Whether each line is an item, such as a name."""

    is_list: bool
    is_sorted: bool


@dataclass(frozen=True)
class MarkUp:
    """Marks of a kind that are left in a text."""

    kind: str
    count: int
    example: str


def count_line_ends(text: str) -> LineEndCounts:
    """Count the line ends of each kind."""
    windows = text.count("\r\n")
    return LineEndCounts(text.count("\n") - windows, windows, text.count("\r") - windows)


def repeated_lines(lines: Sequence[str], most: int = 3) -> RepeatedLines:
    """Count the lines that have occurred before; blank ones do not count."""
    counts = Counter(line for line in lines if line.strip())
    frequent = tuple(one for one in counts.most_common(most) if one[1] > 1)
    return RepeatedLines(counts.total(), counts.total() - len(counts), frequent)


def item_list(lines: Sequence[str]) -> ItemList:
    """Tell whether a text is a list of items: short lines of few words, hardly any sentences."""
    filled = [line.strip() for line in lines if line.strip()]
    if len(filled) < _FEWEST_ITEMS or len(filled) < (1 - _MOST_BLANK) * len(lines):
        return ItemList(False, False)
    has_few_words = np.median([len(line.split()) for line in filled]) <= _MOST_WORDS
    is_short = np.quantile([len(line) for line in filled], 0.95) <= _MOST_ITEM_CHARACTERS
    num_sentences = sum(line[-1] in ".!?:;," for line in filled)
    is_list = has_few_words and is_short and num_sentences <= _MOST_SENTENCES * len(filled)
    folded = [line.casefold() for line in filled]
    return ItemList(bool(is_list), bool(is_list) and folded == sorted(folded))


def kind_of(lines: Sequence[str]) -> str:
    """Return what the lines of a file are: a list, a log or running text; "" for a few lines."""
    filled = [line for line in lines if line.strip()]
    if len(filled) < _FEWEST_ITEMS:
        return ""
    if sum(bool(_DATED.match(line)) for line in filled) >= _LEAST_DATED * len(filled):
        return "log"
    return "list" if item_list(lines).is_list else "running text"


def record_form(lines: Sequence[str]) -> str:
    """Return the value of `corpus.records` that suits the lines of a text; "" for running text."""
    separators = Counter(line for line in lines if _SEPARATOR.fullmatch(line))
    if separators and (frequent := separators.most_common(1)[0])[1] >= _FEWEST_SEPARATORS:
        return frequent[0]
    return "lines" if kind_of(lines) in ("list", "log") else ""


def mark_up(text: str, num_lines: int) -> tuple[MarkUp, ...]:
    """Return the kinds of mark-up of which more than a few marks are left."""
    found = []
    for kind, pattern in _MARK_UP.items():
        count, first = 0, ""
        for match in pattern.finditer(text):
            first = first or match.group()
            count += 1
        if count >= max(_FEWEST_MARKS, _LEAST_MARKED * num_lines):
            found.append(MarkUp(kind, count, first))
    return tuple(found)
