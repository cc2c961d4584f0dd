"""Laws of vocabularies: from characters to ids, and back."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import any_text

from charlm.corpus.vocabulary import Vocabulary, code_points
from charlm.errors import VocabularyError


@given(any_text)
@settings(deadline=None)
def test_decoding_what_was_encoded_gives_the_text(text: str) -> None:
    vocabulary = Vocabulary(tuple(sorted(map(ord, set(text)))))
    ids = vocabulary.encode_text(text)
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text


@given(any_text)
@settings(deadline=None)
def test_decoding_encoded_bytes_gives_the_text(text: str) -> None:
    text = text.encode(errors="ignore").decode()  # UTF-8 has no bytes for surrogates
    vocabulary = Vocabulary.of_bytes()
    ids = vocabulary.encode_text(text)
    assert bytes(ids.tolist()) == text.encode()
    assert vocabulary.decode(ids) == text


@given(any_text)
@settings(deadline=None)
def test_any_text_has_bytes_and_code_points(text: str) -> None:
    assert code_points(text).tolist() == [ord(character) for character in text]
    as_bytes = Vocabulary.of_bytes().encode_text(text)
    assert bytes(as_bytes.tolist()) == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("last", "size"),
    [("\x7f", 1), ("\x80", 2), ("\ud800", 2), ("\uffff", 2), ("\U00010000", 4)],
)
def test_code_points_are_narrow(last: str, size: int) -> None:
    """Code points are as narrow as the text allows."""
    assert code_points(f"a{last}").dtype.itemsize == size


@given(any_text, st.integers(1, 4))
@settings(deadline=None)
def test_a_vocabulary_keeps_what_is_frequent(text: str, minimum_count: int) -> None:
    """A vocabulary keeps what is frequent in the order of code points."""
    counts = np.bincount(code_points(text).astype(np.int64), minlength=1)
    vocabulary = Vocabulary.from_counts(counts, minimum_count)
    kept = [ord(character) for character, n in Counter(text).items() if n >= minimum_count]
    assert list(vocabulary.symbols) == sorted(kept)


@given(any_text, any_text)
@settings(deadline=None)
def test_ids_are_a_bijection(known: str, text: str) -> None:
    """Ids are a bijection and what is outside has the unknown id."""
    vocabulary = Vocabulary(tuple(sorted(map(ord, set(known)))))
    assert len(vocabulary) == len(set(known)) + 1
    of_known = vocabulary.encode(code_points("".join(sorted(set(known))))).tolist()
    assert of_known == list(range(1, len(vocabulary)))
    ids = vocabulary.encode(code_points(text)).tolist()
    assert [i == vocabulary.unknown_id for i in ids] == [c not in known for c in text]


@pytest.mark.parametrize(("known", "typed", "hint"), [("a", "A", "'a'"), ("ÉB", "é", "'É'")])
def test_the_other_case_is_named(known: str, typed: str, hint: str) -> None:
    """A refusal names the other case of a letter, but only if the model knows it."""
    vocabulary = Vocabulary(tuple(map(ord, sorted(known))))
    with pytest.raises(VocabularyError, match=rf"{typed}' U\+.* \(the model knows {hint}\), first"):
        vocabulary.encode_text(typed)
    with pytest.raises(VocabularyError) as refusal:
        vocabulary.encode_text("z")
    assert "knows" not in str(refusal.value)


@given(any_text, any_text)
@settings(deadline=None)
def test_unknown_characters(known: str, text: str) -> None:
    """Unknown characters are named or skipped or mapped."""
    vocabulary = Vocabulary(tuple(sorted(map(ord, set(known)))))
    inside = "".join(character for character in text if character in known)
    assert vocabulary.decode(vocabulary.encode_text(text, "skip")) == inside
    mapped = vocabulary.decode(vocabulary.encode_text(text, "map"))
    assert mapped == "".join(c if c in known else "\N{REPLACEMENT CHARACTER}" for c in text)
    if inside != text:
        place, missing = next((i, c) for i, c in enumerate(text, 1) if c not in known)
        with pytest.raises(
            VocabularyError, match=rf"U\+{ord(missing):04X} .*character {place} "
        ) as refusal:
            vocabulary.encode_text(text)
        message, num_unknown = str(refusal.value), len(set(text) - set(known))
        assert len(re.findall(r" U\+[0-9A-F]{4,6} ", message)) == min(num_unknown, 6)
        assert (f" and {num_unknown - 6} more, first" in message) is (num_unknown > 6)


@given(any_text.filter(bool))  # an empty one is refused
@settings(deadline=None)
def test_a_vocabulary_survives_json(text: str) -> None:
    for vocabulary in (Vocabulary(tuple(sorted(map(ord, set(text))))), Vocabulary.of_bytes()):
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary
