"""Sketches of texts: what two texts share is found and its share estimated, whatever their ids."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples

from charlm.cli.clearing import clear_cache
from charlm.config.schema import CorpusConfig
from charlm.corpus import provenance
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import Corpus
from charlm.corpus.overlaps import caveats, overlaps
from charlm.corpus.provenance import records_of
from charlm.corpus.shingles import PASSAGE_CHARACTERS, count_common, sketch
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.errors import CorpusNotice
from charlm.files.locations import cache_folder

LETTERS = Vocabulary(tuple(range(97, 123)))


def some_ids(seed: int, length: int) -> Ids:
    return np.random.default_rng(seed).integers(1, len(LETTERS), size=length).astype(np.uint8)


def share(of: Ids, ids: Ids, vocabulary: Vocabulary = LETTERS) -> float:
    common, compared = count_common(sketch(of, LETTERS), ids, vocabulary)
    return common / compared


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 1000))
@examples(30)
def test_short_texts_are_counted_exactly(known: int, new: int, seed: int) -> None:
    """Of short texts every shared passage is counted."""
    text = np.concatenate([some_ids(seed, known), some_ids(seed + 1, new)])
    common, compared = count_common(sketch(some_ids(seed, known), LETTERS), text, LETTERS)
    assert common == max(0, known - PASSAGE_CHARACTERS + 1)
    assert compared == max(0, known + new - PASSAGE_CHARACTERS + 1)


@pytest.mark.parametrize("length", [100_000, 1_000_000, 5_000_000])
def test_of_long_texts_the_share_is_estimated(length: int) -> None:
    """Three tenths of a text are known, from any place of a long one."""
    whole = some_ids(1, length)
    piece = whole[length // 2 : length // 2 + 60_000]
    mixed = np.concatenate([some_ids(2, 140_000), piece])
    assert share(whole, mixed) == pytest.approx(0.3, abs=0.05)
    assert share(whole, some_ids(3, 200_000)) == 0


@pytest.mark.parametrize("period", [1, 2, 40])
def test_a_long_text_that_repeats_itself_is_known(period: int) -> None:
    ids = np.tile(some_ids(1, period), 400_000 // period)
    assert share(ids, ids[:1000]) == 1


def test_ids_do_not_matter_but_characters() -> None:
    """Another vocabulary gives other ids; passages with a character unknown to it are left out."""
    ids = some_ids(1, 2000)
    text = LETTERS.decode(ids)
    larger = Vocabulary(tuple(range(32, 127)))
    assert share(ids, larger.encode_text(text), larger) == 1
    smaller = Vocabulary(tuple(range(97, 122)))  # without z
    in_smaller = smaller.encode_text(text, unknown="map")
    common, compared = count_common(sketch(ids, LETTERS), in_smaller, smaller)
    windows = np.lib.stride_tricks.sliding_window_view(in_smaller, PASSAGE_CHARACTERS)
    assert common == compared == int((windows != 0).all(axis=1).sum())


def test_bytes_have_sketches_too() -> None:
    ids = np.random.default_rng(0).integers(256, size=1000).astype(np.uint8)
    made = sketch(ids, Vocabulary.of_bytes())
    assert count_common(made, ids[100:300], Vocabulary.of_bytes()) == (151, 151)


@pytest.fixture
def corpus_and_config(tmp_path: Path) -> tuple[Corpus, CorpusConfig]:
    path = tmp_path / "text.txt"
    path.write_text(LETTERS.decode(some_ids(int(tmp_path.stat().st_ino), 3000)), encoding="utf-8")
    config = CorpusConfig(paths=(str(path),))
    return build_corpus(config), config


def test_a_second_start_uses_the_cache(
    corpus_and_config: tuple[Corpus, CorpusConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second start takes sketches from the cache."""
    made = [record.sketch.hashes.tolist() for record in records_of(*corpus_and_config)]
    monkeypatch.setattr(provenance, "sketch", None)  # it is not called
    assert [one.sketch.hashes.tolist() for one in records_of(*corpus_and_config)] == made


def test_a_sketch_that_was_damaged_is_made_anew(
    corpus_and_config: tuple[Corpus, CorpusConfig],
) -> None:
    made = [record.sketch.hashes.tolist() for record in records_of(*corpus_and_config)]
    folder = cache_folder() / "corpora" / corpus_and_config[0].fingerprint
    for number, path in enumerate(sorted(folder.glob("*.sketch"))):
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(bytes(data) if number else b"")
    assert [one.sketch.hashes.tolist() for one in records_of(*corpus_and_config)] == made


def test_sketches_go_when_the_cache_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(LETTERS.decode(some_ids(1, 3000)), encoding="utf-8")
    config = CorpusConfig(paths=(str(tmp_path / "text.txt"),))
    records_of(build_corpus(config), config)
    assert len(list((tmp_path / "cache").glob("corpora/*/*.sketch"))) == 2
    clear_cache()
    assert not list((tmp_path / "cache").glob("corpora/*"))


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=30),
    st.integers(1, 40),
)
@examples(40)
def test_records_are_compared_whole(known: list[str], other: list[str], block: int) -> None:
    """Of records, however short, those that are equal to a known one are counted."""
    vocabulary = Vocabulary((10, 97, 98))

    def ids(records: list[str]) -> np.ndarray:
        return vocabulary.encode_text("\n" + "".join(f"{one}\n" for one in records))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.corpus.shingles._BLOCK_CHARACTERS", block)
        counted = count_common(sketch(ids(known), vocabulary, 1), ids(other), vocabulary, 1)
    assert counted == (sum(one in known for one in other), len(other))


def test_a_leak_between_files_is_said(tmp_path: Path) -> None:
    """A test file of which every fourth name is in the training file has a biased score."""
    names = {"train": range(100), "test": [*range(10), *range(200, 230)]}
    for split, numbers in names.items():
        lines = "".join(f"{number:08b}\n" for number in numbers)
        (tmp_path / split).write_text(lines)
    config = CorpusConfig(
        paths=(str(tmp_path / "train"),), test_paths=(str(tmp_path / "test"),), records="lines"
    )
    with pytest.warns(CorpusNotice, match="10 of 40 held-out"):
        corpus = build_corpus(config)
    (record,) = records_of(corpus, config)
    (found,) = overlaps([record], corpus.splits["test"], corpus.vocabulary)
    assert found.share == 0.25
    assert caveats([record], [found]) == (
        "; biased score: the model was trained on about 25 % of it (train)"
    )
