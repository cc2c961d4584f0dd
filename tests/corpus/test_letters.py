"""The letters of a vocabulary, of which words consist."""

from charlm.corpus.letters import FIELD_END, LINE_END, letters_of
from charlm.corpus.vocabulary import Vocabulary

MIXED = Vocabulary(tuple(sorted(map(ord, "\n aA'5-éÉ好İ"))))


def test_cases_are_one_letter() -> None:
    """Upper and lower case are one letter; spaces, signs and the unknown symbol are none."""
    letters = letters_of(MIXED)
    of = {character: int(letters[MIXED.encode_text(character)[0]]) for character in "aA'5-éÉ好İ \n"}
    assert of["a"] == of["A"] == ord("a")
    assert of["é"] == of["É"]
    assert of["-"] == letters[0] == 0
    assert of["\n"] == LINE_END
    assert of[" "] == FIELD_END
    assert all(of[character] for character in "'5好İ")


def test_bytes_have_letters() -> None:
    letters = letters_of(Vocabulary.of_bytes())
    assert len(letters) == 256
    assert letters[ord("B")] == letters[ord("b")] == ord("b")
    assert (letters[128:] > 0).all()
    assert letters[ord(":")] == 0
    assert letters[ord(" ")] == letters[ord(",")] == FIELD_END
