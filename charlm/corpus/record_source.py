"""The text of a file of records, line by line, and what errors say about it."""

import codecs
from collections.abc import Iterator
from itertools import chain

from charlm.config.schema import CorpusConfig
from charlm.errors import CorpusError
from charlm.formatting import shorten

MAX_RECORD_CHARACTERS = 1 << 24
"""Number of characters of a record above which it is refused."""
_BYTE_ORDER_MARK = codecs.BOM_UTF8.decode("latin-1")


class RecordSource:
    """The text of a file in pieces; the text of bytes is their Latin-1 text."""

    def __init__(self, texts: Iterator[str], config: CorpusConfig, name: str) -> None:
        """`name` names the file in errors."""
        self.config, self.is_bytes = config, config.unit == "byte"
        self.texts = _without_mark(texts) if self.is_bytes else texts
        self.name = name
        self.number = 0
        """Number of lines so far."""

    def lines(self) -> Iterator[str]:
        """Yield the lines without their newlines."""
        pending = ""
        for text in self.texts:
            *whole, pending = (pending + text).split("\n")
            for line in whole:
                self.number += 1
                yield line
            self.check(len(pending), self.number + 1)
        if pending:
            self.number += 1
            yield pending

    def check(self, size: int, line: int) -> None:
        """Raise `CorpusError` if a record of this size, which begins in this line, is too long."""
        if size > MAX_RECORD_CHARACTERS:
            raise CorpusError(
                f"{self.name}: the record in line {line:,} has more than "
                f"{MAX_RECORD_CHARACTERS:,} characters; check corpus.records, or train on it as "
                "running text"
            )

    def shown(self, text: str) -> str:
        """Return a piece of the text for a message, in one line."""
        return shorten(shown_text(text, self.config))

    def error(self, place: str, what: str) -> CorpusError:
        return CorpusError(f"{self.name}: {place} {what}")


def as_text(text: str, config: CorpusConfig) -> str:
    """Return a text of the config as it occurs in the pieces: bytes are Latin-1 characters."""
    return text.encode().decode("latin-1") if config.unit == "byte" else text


def shown_text(text: str, config: CorpusConfig) -> str:
    """Return a piece of a text for people, the reverse of `as_text`."""
    is_bytes = config.unit == "byte"
    return text.encode("latin-1").decode("utf-8", "replace") if is_bytes else text


def without_line_end(line: str) -> str:
    """Return a line without the CR of a Windows line end, where line ends are kept."""
    return line.removesuffix("\r")


def _without_mark(texts: Iterator[str]) -> Iterator[str]:
    """Remove a byte order mark, which is no part of the first record."""
    beginning = ""
    for text in texts:
        beginning += text
        if len(beginning) >= len(_BYTE_ORDER_MARK):
            break
    return chain([beginning.removeprefix(_BYTE_ORDER_MARK)], texts)
