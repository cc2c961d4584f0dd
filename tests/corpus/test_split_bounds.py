"""Laws of the splits: where a text is cut, and files that take the place of a split."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.corpora import MARK, WHOLE, config_of
from support.properties import examples

from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import SPLITS
from charlm.errors import CorpusError


@given(
    length=st.integers(0, 400) | st.integers(400, 4000),
    split=st.sampled_from(
        [
            ((0.9, 0.05, 0.05), 0.95),
            ((0.9, 0.1, 0.0), 1.0),
            ((0.8, 0.1, 0.1), 0.9),
            ((0.7, 0.2, 0.1), 0.9),
            ((0.7, 0.1, 0.2), 0.8),
            ((0.6, 0.1, 0.3), 0.7),
            ((0.5, 0.0, 0.5), 0.5),
            ((0.98, 0.01, 0.01), 0.99),
            (WHOLE, 1.0),
        ]
    ),
)
@example(length=10, split=((0.7, 0.1, 0.2), 0.8))
@example(length=100, split=((0.7, 0.2, 0.1), 0.9))
@example(length=1_115_394, split=((0.9, 0.1, 0.0), 1.0))  # Tiny Shakespeare, as others cut it
@examples(30)
def test_no_split_is_too_short(
    length: int, split: tuple[tuple[float, float, float], float], scratch: Path
) -> None:
    """The split is where everybody cuts and no split is too short."""
    fractions, until_test = split
    path = scratch / "text"
    path.write_text("x" * length)
    ends = [int(fractions[0] * length), int(until_test * length), length]
    expected = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    wanted = zip(SPLITS, expected, fractions, strict=True)
    short = [name for name, size, fraction in wanted if fraction and size < 2]
    if short:
        problem = short[0] if length else "empty"
        with pytest.raises(CorpusError, match=problem):
            build_corpus(config_of(path, split=fractions))
    else:
        corpus = build_corpus(config_of(path, split=fractions))
        assert [len(corpus.splits[name]) for name in SPLITS] == expected


@pytest.mark.parametrize("unit", ["character", "byte"])
@pytest.mark.parametrize("character", ["x", "雨"])  # ids as wide as symbols, and narrower
def test_validation_may_come_first(tmp_path: Path, unit: str, character: str) -> None:
    """The validation split may come first and the test split stays."""
    text = "".join(f"{number} {character}, " for number in range(500))
    path = tmp_path / "text"
    path.write_text(text)
    about = {"split": (0.7, 0.1, 0.2), "vocabulary_from": "all", "unit": unit}
    usual = build_corpus(config_of(path, **about))
    first = build_corpus(config_of(path, **about, validation_first=True))
    ids = [first.splits[name].ids for name in ("validation", "train", "test")]
    assert first.vocabulary.decode(np.concatenate(ids)) == text
    assert len(first.splits["validation"]) == len(usual.splits["validation"])
    assert first.splits["test"].ids.tolist() == usual.splits["test"].ids.tolist()


@pytest.mark.parametrize("given_splits", [("validation",), ("test",), ("validation", "test")])
def test_separate_files_replace_the_split(given_splits: tuple[str, ...], tmp_path: Path) -> None:
    """Separate files take the place of the split."""
    texts = {"train": "abcd" * 10, "validation": "abe" * 3, "test": "abf" * 2}
    paths = {name: tmp_path / name for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    keys = {f"{name}_paths": (str(paths[name]),) for name in given_splits}
    corpus = build_corpus(config_of(paths["train"], **keys))
    lengths = {name: len(texts[name]) for name in ("train", *given_splits)}
    assert {name: len(part) for name, part in corpus.splits.items() if len(part)} == lengths
    assert corpus.vocabulary.symbols == tuple(map(ord, "abcd"))
    unknown = {"train": 0, "validation": 3, "test": 2}
    for name in given_splits:
        part = corpus.splits["validation" if name == "validation" else "test"]
        assert part.num_unknown == unknown[name]
        assert part.measure(0, len(part)) == (len(texts[name]), unknown[name])


def test_max_characters_and_separate_files(tmp_path: Path) -> None:
    """Separate files are not cut by `max_characters`.

    The key's own words: "no more than this many characters of `paths`".
    """
    for name, length in [("train", 100), ("validation", 50), ("test", 40)]:
        (tmp_path / name).write_text("x" * length)
    corpus = build_corpus(
        config_of(
            tmp_path / "train",
            validation_paths=(str(tmp_path / "validation"),),
            test_paths=(str(tmp_path / "test"),),
            max_characters=10,
        )
    )
    assert [len(corpus.splits[name]) for name in SPLITS] == [10, 50, 40]


@pytest.mark.parametrize("text", ["", MARK])
def test_an_empty_text_is_an_error(text: str, tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "text"
    path.write_text(text, "utf-8")
    with pytest.raises(CorpusError, match=f"{path} is empty; name another"):
        build_corpus(config_of(path))


@pytest.mark.parametrize(("length", "words"), [(10, "0 characters"), (14, "1 character")])
def test_one_character_is_singular(length: int, words: str, tmp_path: Path) -> None:
    (path := tmp_path / "text").write_text("x" * length)
    with pytest.raises(CorpusError, match=f"split of the text has {words} and needs"):
        build_corpus(config_of(path, split=(0.9, 0.05, 0.05)))


@pytest.mark.parametrize("name", ["validation", "test"])
def test_an_empty_separate_file(name: str, tmp_path: Path) -> None:
    """An empty separate file is an error that names the split."""
    (tmp_path / "train").write_text("x" * 100)
    (tmp_path / "empty").write_text("")
    keys = {f"{name}_paths": (str(tmp_path / "empty"),)}
    with pytest.raises(CorpusError, match=name):
        build_corpus(config_of(tmp_path / "train", **keys))
