"""Convert the line ends of a text that arrives in pieces, and count those that change."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charlm.corpus.files import list_of


@dataclass
class LineEnds:
    """Number of line ends so far that are not plain newlines."""

    returns: int = 0
    """Carriage returns (CR), alone or before a newline."""
    windows: int = 0
    """Carriage returns before a newline (CR LF), as on Windows; old Macs wrote lone ones."""
    _ends_in_return: bool = False

    def add(self, text: str) -> None:
        """Count the line ends of the next piece; a line end may be split between two pieces."""
        if not text:
            return
        if self._ends_in_return and text[0] == "\n":
            self.windows += 1
        if returns := text.count("\r"):
            self.returns += returns
            self.windows += text.count("\r\n")
        self._ends_in_return = text[-1] == "\r"


def converted(
    texts: Iterator[str], newlines: Literal["unify", "space"], line_ends: LineEnds
) -> Iterator[str]:
    """Yield the pieces of a text with each line end as a newline, or as a space."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for text in texts:
        line_ends.add(text)
        yield _with(newlines, decoder.decode(text))
    yield _with(newlines, decoder.decode("", final=True))


def _with(newlines: str, text: str) -> str:
    return text.replace("\n", " ") if newlines == "space" else text


def line_ends_notice(line_ends: dict[Path, LineEnds], *, is_whole: bool) -> str | None:
    """Return a message about line ends that were read as newlines; None if there are none.

    Of files that were not read to their ends (`is_whole`) it gives no numbers.
    """
    files = [path for path, counts in line_ends.items() if counts.returns]
    windows = sum(counts.windows for counts in line_ends.values())
    old_mac = sum(counts.returns - counts.windows for counts in line_ends.values())
    kinds = [
        _number(number, name, is_whole)
        for number, name in ((windows, "Windows line end"), (old_mac, "old Mac line end"))
        if number
    ]
    return list_of(files, f"{' and '.join(kinds)} read as newlines") if kinds else None


def counted_by_place(
    files: Sequence[Path], line_ends: Mapping[Path, LineEnds]
) -> list[tuple[int, int, int]]:
    """Return the place in `files` and both numbers of each file that has such line ends.

    The cache stores places, because the same text may have other paths later.
    """
    return [
        (place, line_ends[path].returns, line_ends[path].windows)
        for place, path in enumerate(files)
        if path in line_ends and line_ends[path].returns
    ]


def counted_by_path(
    files: Sequence[Path], counted: Iterable[tuple[int, int, int]]
) -> dict[Path, LineEnds]:
    """Return the line ends of the files at the places of `counted_by_place`."""
    return {
        files[place]: LineEnds(returns, windows)
        for place, returns, windows in counted
        if place < len(files)
    }


def _number(number: int, name: str, is_whole: bool) -> str:
    plural = f"{name}s"
    return f"{number:,} {name if number == 1 else plural}" if is_whole else plural


def newlines_converted(text: str, newlines: Literal["unify", "space"]) -> str:
    """Return a whole text with each line end as a newline, or as a space."""
    return "".join(converted(iter([text]), newlines, LineEnds()))
