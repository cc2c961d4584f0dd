"""Copied spans are marked while a text is written: those that a search afterwards finds."""

from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples

from charlm.analysis.copy_marker import CopyMarker, TextIndex
from charlm.analysis.copying import covered, longest_matches
from charlm.corpus.vocabulary import code_points

TEXTS = st.one_of(
    st.text(st.sampled_from("ab"), max_size=40), st.text(st.sampled_from("abc\0é🙂"), max_size=40)
)


@given(TEXTS, TEXTS, st.integers(1, 12))
@examples(200)
def test_marks_equal_a_search_afterwards(training: str, text: str, least: int) -> None:
    """Each character comes once, in order, marked if a long span contains it."""
    marker: CopyMarker[str] = CopyMarker(TextIndex(code_points(training)), least)
    for _ in range(2):  # the marker is reused for a second text
        decided = [one for c in text for one in marker.add(ord(c), c)]
        decided += marker.finish()
        assert "".join(piece for piece, _ in decided) == text
        found = longest_matches(code_points(training), code_points(text))
        assert [mark for _, mark in decided] == covered(found.lengths, least).tolist()


def test_a_character_waits_for_its_passage() -> None:
    """It is written when no long span can contain it any more, or when one does."""
    marker: CopyMarker[str] = CopyMarker(TextIndex(code_points("one two three")), 5)
    steps = [list(marker.add(ord(c), c)) for c in "xone two"]
    shown = ["".join(piece for piece, _ in step) for step in steps]
    assert shown == ["x", "", "", "", "", "one t", "w", "o"]
    assert [all(mark for _, mark in step) for step in steps[5:]] == [True] * 3
    assert steps[0] == [("x", False)]


def test_unknown_ids_are_not_marked() -> None:
    """The unknown symbol stands for different characters."""
    ids = code_points("\0bcd\0bcd")
    marker: CopyMarker[int] = CopyMarker(TextIndex(ids, unknown=0), 3)
    decided = [one for symbol in (0, 98, 99, 100, 0) for one in marker.add(symbol, symbol)]
    assert [mark for _, mark in decided] == [False, True, True, True, False]
