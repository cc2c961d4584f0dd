"""Typed quotes, hyphens and dots are read as the typographic ones that a model knows."""

import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import run, train
from support.generation import make_predictor, text_of

from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import VocabularyWarning
from charlm.prediction.typographic_prefix import with_typographic_characters

LETTERS = "\n abcdefghijklmnopqrstuvwxyzHINTW,?.()"
BOOK = LETTERS + "‘’“”—…"


def vocabulary_of(characters: str) -> Vocabulary:
    return Vocabulary(tuple(sorted(map(ord, set(characters)))))


@pytest.mark.filterwarnings("ignore::charlm.errors.VocabularyWarning")
@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ('"I don\'t know," he said, "not yet', "“I don’t know,” he said, “not yet"),
        ('He said: "', "He said: “"),
        ("\"'Tis so,' he said.\"", "“‘Tis so,’ he said.”"),
        ("the boys' books ('so", "the boys’ books (‘so"),
        ('"I thought--" he said--"no"', "“I thought—” he said—“no”"),
        ("well - no", "well — no"),
    ],
)
def test_quotes_open_and_close_by_place(typed: str, read: str) -> None:
    assert with_typographic_characters(typed, vocabulary_of(BOOK)) == read


@pytest.mark.filterwarnings("ignore::charlm.errors.VocabularyWarning")
@pytest.mark.parametrize(
    ("marks", "read"),
    [
        ("„“’", "„so“ it’s"),
        ("„”’", "„so” it’s"),
        ("«»’", "«so» it’s"),
        ("“’", "“so“ it’s"),
        ("’", '"so" it’s'),
        ("“”'", "“so” it's"),
    ],
)
def test_quotes_of_other_languages(marks: str, read: str) -> None:
    """The pair is one that the vocabulary has; what it lacks stays."""
    assert with_typographic_characters('"so" it\'s', vocabulary_of(LETTERS + marks)) == read


@pytest.mark.filterwarnings("ignore::charlm.errors.VocabularyWarning")
def test_hyphens_and_dots() -> None:
    """They too need a counterpart; a hyphen in a word becomes no dash between sentences."""
    known = vocabulary_of(LETTERS.replace(".", "") + "‐—…")
    assert with_typographic_characters("well-known -- so...", known) == "well‐known — so…"
    known = vocabulary_of(LETTERS + "—…")
    assert with_typographic_characters("well-known so...", known) == "well-known so..."


@pytest.mark.filterwarnings("ignore::charlm.errors.VocabularyWarning")
@given(
    text=st.text(st.sampled_from("a '\"-.’“”—…雨")), known=st.text(st.sampled_from(BOOK + "'\"-"))
)
def test_known_characters_stay(text: str, known: str) -> None:
    """Characters of the vocabulary stay, and each new one is of the vocabulary."""
    known += "a"
    read = with_typographic_characters(text, vocabulary_of(known))
    assert [one for one in read if one in known and one in "a '\"-."] == [
        one for one in text if one in known and one in "a '\"-."
    ]
    assert set(read) <= set(text) | set(known)
    assert with_typographic_characters(read, vocabulary_of(known)) == read


def test_a_replacement_is_reported_once() -> None:
    """Python replaces as the command does, and warns; a byte model knows what is typed."""
    predictor = make_predictor(vocabulary_of(BOOK))
    said = "the prefix: \" read as “ and ”, ' read as ’; the model does not know what was typed"
    with pytest.warns(VocabularyWarning) as warned:
        text = text_of(predictor, '"No," it isn\'t')
    assert [str(one.message) for one in warned] == [said]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text_of(predictor, "“No,” it isn’t") == text
        assert with_typographic_characters("'", Vocabulary.of_bytes()) == "'"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    text = folder / "book.txt"
    text.write_text("“I don’t know,” he said; “not yet — no…”\n" * 40, "utf-8")
    return train(text, folder / "runs", "--quiet", steps=1)


@pytest.mark.parametrize("unknown", ["error", "skip", "map"])
def test_a_typed_prefix_on_the_command_line(unknown: str, trained: Path) -> None:
    """A character with a typographic form is not unknown: `--unknown` does not apply to it."""
    options = ("--length", 3, "--seed", 1, "--unknown", unknown)
    typed = run("generate", trained, "--prefix", "\"I don't", *options)
    assert typed.stdout.startswith("“I don’t")
    assert len([line for line in typed.stderr.splitlines() if "the prefix: " in line]) == 1
    exact = run("generate", trained, "--prefix", "“I don’t", *options)
    assert exact.stdout == typed.stdout
    assert "the prefix: " not in exact.stderr
