"""Mark copied spans in generated text, by underlining or by brackets."""

import sys
from collections.abc import Iterator

from charlm.analysis.copy_marker import CopyMarker, TextIndex
from charlm.cli.console import print_message
from charlm.cli.screen import can_encode, can_style
from charlm.cli.text_output import TextOutput
from charlm.corpus.corpus import Corpus
from charlm.corpus.vocabulary import Vocabulary

_UNDERLINE = "\x1b[4m", "\x1b[24m"
_BRACKETS, _ASCII_BRACKETS = ("⟦", "⟧"), ("[[", "]]")


class MarkedOutput(TextOutput):
    """Writes text as it is generated, with marks around spans copied from the training split.

    On a terminal the spans are underlined; without styles, and in a pipe, they are in brackets.
    """

    def __init__(self, corpus: Corpus, least: int, is_quiet: bool) -> None:
        """Mark spans of at least `least` characters; print how, unless `is_quiet`."""
        super().__init__()
        self._vocabulary = corpus.vocabulary
        index = TextIndex(corpus.splits["train"].ids, corpus.vocabulary.unknown_id)
        self._marker: CopyMarker[bytes] = CopyMarker(index, least)
        self._is_open = False
        if can_style(sys.stdout):
            self._marks, way = _UNDERLINE, "underlined"
        else:
            self._marks = (
                _BRACKETS if can_encode("".join(_BRACKETS), sys.stdout) else _ASCII_BRACKETS
            )
            way = f"between {self._marks[0]} and {self._marks[1]}"
        if not is_quiet:
            print_message(f"{way}: spans of {least:,} characters or more of the training text")

    def write(self, piece: bytes) -> None:
        """Write the characters that are known to be copied or not."""
        for symbol, shown in _symbols(piece, self._vocabulary):
            self._write_decided(self._marker.add(symbol, shown))

    def finish(self) -> None:
        """Write the rest of the text, and close an open mark."""
        self._write_decided(self._marker.finish())
        self._switch(False)
        super().finish()

    def _write_decided(self, decided: Iterator[tuple[bytes, bool]]) -> None:
        for shown, is_copied in decided:
            if (
                shown[0] & 0xC0 != 0x80
            ):  # in the text of a byte model, a mark must not split a character
                self._switch(is_copied)
            super().write(shown)

    def _switch(self, is_copied: bool) -> None:
        if is_copied != self._is_open:
            self.write_mark(self._marks[0 if is_copied else 1])
            self._is_open = is_copied


def _symbols(piece: bytes, vocabulary: Vocabulary) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the bytes of each character."""
    if vocabulary.unit == "byte":
        yield from ((value, bytes([value])) for value in piece)
        return
    text = piece.decode()
    ids = vocabulary.encode(vocabulary.symbols_of(text)).tolist()
    yield from zip(ids, (character.encode() for character in text), strict=True)
