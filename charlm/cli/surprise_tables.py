"""The most surprising lines, items or words of a text: for people and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.analysis.surprise import Surprise

NUM_WORDS, NUM_ITEMS = 20, 20
"""Numbers of words, and by default of items, that are printed."""
_MOST_SHOWN = 60
"""Number of characters of a line that the table shows."""


@dataclass(frozen=True)
class Selection:
    """What is printed instead of the text."""

    kind: Literal["lines", "items", "words"]
    number: int
    order: Literal["mean", "sum"]

    @classmethod
    def of(
        cls, lines: int | None, items: int | None, words: bool, order: Literal["mean", "sum"]
    ) -> "Selection | None":
        """Return what the options select; raises `CharlmError` if that is several things."""
        given: list[tuple[Literal["lines", "items", "words"], int]] = []
        if lines is not None:
            given.append(("lines", lines))
        if items is not None:
            given.append(("items", items))
        if words:
            given.append(("words", NUM_WORDS))
        if len(given) > 1:
            (one, _), (other, _), *_ = given
            raise CharlmError(f"--{one} cannot be combined with --{other}; run the command twice")
        return cls(*given[0], order) if given else None

    def objects(self, found: "Surprise") -> list[Any]:
        """Return what is selected, the most surprising first.

        Raises `CharlmError` if items of running text are asked for.
        """
        if self.kind == "lines":
            return found.lines(self.number, self.order)
        if self.kind == "words":
            return found.words(self.number)
        if not found.has_items:
            raise CharlmError("--items needs a model of records; use --lines")
        return found.items(self.number, self.order)

    def to_json(self, found: "Surprise") -> dict[str, Any]:
        return {**found.summary(), self.kind: [one.to_json() for one in self.objects(found)]}

    def rows(self, found: "Surprise") -> Iterator[Sequence[object]]:
        """Yield the heading and the rows of a table for programs."""
        for number, one in enumerate(self.to_json(found)[self.kind]):
            if not number:
                yield list(one)
            yield [
                " ".join(f"{text}={share}" for text, share in value) if key == "expected" else value
                for key, value in one.items()
            ]

    def show(self, found: "Surprise") -> None:
        """Print a table for people."""
        from charlm.cli.console import print_message, print_table

        objects = self.objects(found)
        if not objects and self.kind == "words":
            print_message("no word is less likely than what was expected")
            return
        print_table({"lines": _lines, "items": _items, "words": _words}[self.kind](objects))
        if found.analysed.scored.corpus is not None:
            counted = "items" if self.kind == "items" else "lines"
            print_message(f"{counted} are counted from the beginning of {found.name}")


def _lines(lines: list[Any]) -> Any:
    table = _table("line", "mean bits", "sum")
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for one in lines:
        table.add_row(f"{one.line:,}", f"{one.mean:.2f}", f"{one.bits:,.0f}", _shown(one.text))
    return table


def _items(items: list[Any]) -> Any:
    table = _table("item", "nats", "per character")
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for one in items:
        table.add_row(f"{one.item:,}", f"{one.nats:,.1f}", f"{one.mean:.2f}", _shown(one.text))
    return table


def _words(words: list[Any]) -> Any:
    table = _table("bits", "line:column")
    for heading in ("word", "times", "expected"):
        table.add_column(heading, justify="right" if heading == "times" else "left")
    for one in words:
        expected = ", ".join(f"{_end(text)!r} {share:.0%}" for text, share in one.expected)
        place = f"{one.line}:{one.column}"
        table.add_row(f"{one.bits:.1f}", place, _shown(one.word), f"{one.occurrences:,}", expected)
    return table


def _table(*headings: str) -> Any:
    """Return a table with columns of numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _end(text: str) -> str:
    """Return the end of a long word, where the character in question is."""
    return text if len(text) <= _MOST_SHOWN else f"…{text[1 - _MOST_SHOWN :]}"


def _shown(text: str) -> str:
    shown = repr(text)[1:-1]
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[: _MOST_SHOWN - 1]}…"
