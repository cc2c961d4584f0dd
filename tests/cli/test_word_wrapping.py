"""Generated text on a terminal: lines end between words, whatever the pieces in which it comes."""

import io
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from support.screens import Screen

from charlm.cli.text_output import TextOutput
from charlm.cli.word_wrapping import WordWrapper

TEXTS = st.text(st.sampled_from("ab c\n\t雨é"), max_size=80)
WIDTHS = st.integers(10, 30)


def width_of(line: str) -> int:
    """Return the width of a line; a tab ends at a multiple of 8."""
    column = 0
    for character in line:
        column += 8 - column % 8 if character == "\t" else cell_len(character)
    return column


def wrapped(pieces: list[str], width: int) -> str:
    wrapper = WordWrapper()
    return "".join(wrapper.add(piece, width) for piece in pieces) + wrapper.finish(width)


@given(TEXTS, WIDTHS)
def test_wrapping_changes_only_blanks(text: str, width: int) -> None:
    """Lines fit, all other characters stay, and a text that fits stays as it is."""
    shown = wrapped([text], width)
    assert "".join(shown.split()) == "".join(text.split())
    assert all(width_of(line) <= width for line in shown.split("\n"))
    if all(width_of(line) <= width for line in text.split("\n")):
        assert shown == text


@given(TEXTS, WIDTHS)
def test_pieces_do_not_matter(text: str, width: int) -> None:
    assert wrapped(list(text), width) == wrapped([text], width)


@given(st.lists(st.text("abc", min_size=1, max_size=10), min_size=1), WIDTHS)
def test_words_are_whole(words: list[str], width: int) -> None:
    """A line has as many words as fit."""
    lines = [line.split(" ") for line in wrapped([" ".join(words)], width).split("\n")]
    assert [word for line in lines for word in line] == words
    for line, after in pairwise(lines):
        assert len(" ".join([*line, after[0]])) > width


def test_a_mark_belongs_to_its_word() -> None:
    """A style has no width, a bracket has, and neither splits a word."""
    wrapper = WordWrapper()
    shown = wrapper.add("one two th", 12)
    wrapper.add_mark("\x1b[4m")
    shown += wrapper.add("ree", 12)
    wrapper.add_mark("]]")
    assert shown + wrapper.finish(12) == "one two\nth\x1b[4mree]]"


def test_only_a_terminal_gets_other_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is piped is what was generated, byte for byte."""
    text = "the rain falls on the roof " * 9
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    target = TextOutput()
    for character in text.encode():
        target.write(bytes([character]))
    target.finish()
    target.write_plain("\n")
    lines = screen.written.split("\n")
    assert max(map(len, lines)) <= 39
    assert " ".join(" ".join(lines).split()) == text.strip()
    monkeypatch.setattr(sys, "stdout", pipe := io.TextIOWrapper(io.BytesIO()))
    (target := TextOutput()).write(text.encode())
    target.finish()
    assert pipe.buffer.getvalue() == text.encode()
