"""Laws of normal forms: in pieces as in the whole, in bounded memory."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.corpora import FORMS, Form, blocks, read
from support.properties import examples

from charlm.config.schema import CorpusConfig
from charlm.corpus.decoding import as_read
from charlm.corpus.normalization import is_boundary, normalised
from charlm.errors import CorpusError

_MARKS = re.compile(
    "[\u0300\u0301\u0323\u0327\u0345\u034f\u0338\u0f71\u0f72\u3099\u09be\u0dcf\u0dca\U0001d165]+"
)
joining = st.sampled_from(
    "aeosﬁÅǅ \n\u02ff\u0300\u0301\u0323\u0327\u0345\u034f\u0338=<\u1100\u1161\u11a8\u1112가각\u0f71"
    "\u0f72\u3099かは\u09c7\u09be\u0dd9\u0dcf\u0dca\U0001d157\U0001d165\u212b\u2126①ﷺ\u3400你\ua000"
)
runs = st.builds(str.__mul__, joining, st.integers(30, 80))
"""One character over and over: longer than any buffer of a careless reader."""
joining_text = (
    st.lists(joining | runs, max_size=25)
    .map("".join)
    .filter(lambda text: all(len(marks) < 990 for marks in _MARKS.findall(text)))
)
"""Without the thousand marks on one character that charlm refuses."""


@pytest.mark.parametrize("form", FORMS)
@given(text=joining_text, block=blocks | st.integers(8, 100))
@example(text="e" + "\u0301\u0327" * 60 + "e", block=3)
@example(text="\u1100\u1161\u11a8" * 20, block=1)
@example(text="가\u11a8" * 20, block=1)
@examples(25)
def test_a_normal_form_in_pieces(form: Form, text: str, block: int, scratch: Path) -> None:
    """A normal form in pieces is that of the whole."""
    path = scratch / "text"
    path.write_text(text, "utf-8", newline="")
    assert read(path, block=block, normal_form=form) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("character", "aЯあ한กक")
def test_a_normal_form_is_not_held_whole(form: Form, character: str) -> None:
    """A text in a normal form is not held whole."""
    pieces = normalised(iter([character * 1000] * 3), form, "a text")
    for piece in (next(pieces), next(pieces), next(pieces)):
        assert len(piece) > 990


def test_what_a_normal_form_joins_is_not_cut() -> None:
    for code in range(0x110000):
        others = unicodedata.normalize("NFD", chr(code))[1:]
        assert not any(map(is_boundary, others))
    assert is_boundary("é") and not is_boundary("\N{HALFWIDTH KATAKANA VOICED SOUND MARK}")


def test_endless_joins_are_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that join without an end are refused."""
    path = scratch / "text"
    path.write_text("ᄀ" + "\N{HANGUL JUNGSEONG A}" * 5000, "utf-8")
    monkeypatch.setattr("charlm.corpus.normalization._MAX_HELD_CHARACTERS", 1000)
    with pytest.raises(CorpusError, match=r"text: more than 1,000 characters .*normal_form"):
        read(path, normal_form="NFC")
    path.write_bytes(b"+" + b"A" * (3 << 20))
    with pytest.raises(CorpusError, match=r"text: 1,048,576 bytes .*corpus\.encoding"):
        read(path, block=1 << 19, encoding="utf-7")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("block", "end"), [(1 << 10, "b"), (1 << 18, "")])
def test_too_many_marks_are_refused(form: Form, block: int, end: str, scratch: Path) -> None:
    """More marks than can be sorted are refused."""
    path = scratch / "text"
    marks = "\u0301" * 40_000 + "\N{COMBINING GRAVE ACCENT BELOW}" * 40_000  # minutes each
    path.write_text("a" * 700 + marks + end, "utf-8")
    with pytest.raises(CorpusError, match=r"text: 1,000 marks .*normal_form"):
        read(path, block=block, normal_form=form)
    with pytest.raises(CorpusError, match=r"prefix: 1,000 marks"):
        as_read(marks + end, CorpusConfig(normal_form=form))
    many = "a" * 700 + "\u0301\u0316" * 499 + end
    path.write_text(many, "utf-8")
    assert read(path, block=block, normal_form=form) == unicodedata.normalize(form, many)
