"""Baselines: distributions that sum to one, an order that is chosen elsewhere, and compressors."""

import lzma
import math
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from charlm.analysis import baselines as module
from charlm.analysis import compressors as compressors_module
from charlm.analysis.baselines import baselines_of, best_order, ngram_nats, ngram_predictions
from charlm.analysis.compressors import Compressor, compressors
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.models.ngrams import KernelNGrams, NGrams, NumpyNGrams

LETTERS = Vocabulary(tuple(map(ord, " abcdefghijklm")))
SIZE = len(LETTERS)


def words(seed: int, length: int) -> np.ndarray:
    """Return ids of a text of words from a small lexicon."""
    random = np.random.default_rng(seed)
    lexicon = ["abba ", "cabbage ", "made ", "big ", "flag ", "hem "]
    chosen = "".join(lexicon[k] for k in random.integers(len(lexicon), size=length // 3))
    return LETTERS.encode(LETTERS.symbols_of(chosen))[:length].astype(np.uint8)


def corpus_of(**ids: np.ndarray) -> Corpus:
    def split(text: np.ndarray) -> Split:
        return Split(text, LETTERS.sizes, np.zeros(0, UNKNOWN_TYPE))

    names: tuple[SplitName, ...] = ("train", "validation", "test")
    empty = np.zeros(0, np.uint8)
    return Corpus(LETTERS, "", {name: split(ids.get(name, empty)) for name in names}, ())


@pytest.mark.parametrize("kind", [NumpyNGrams, KernelNGrams])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_ngrams_sum_to_one(kind: type[NGrams], order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the whole vocabulary, at every place, after known contexts and after new ones."""
    monkeypatch.setattr(module, "_PIECE_FLOATS", 7 * SIZE)
    ngrams = kind(order, SIZE)
    ngrams.count(np.concatenate([np.full(order, -1), words(0, 300).astype(np.int64)]))
    text = np.concatenate([words(1, 40), np.random.default_rng(0).integers(0, SIZE, 40)])
    logs = np.concatenate(list(ngram_predictions(ngrams, text.astype(np.uint8))))
    assert logs.shape == (len(text) - 1, SIZE)
    assert np.exp(logs.astype(np.float64)).sum(axis=1) == pytest.approx(1, abs=1e-5)
    chosen = logs[np.arange(len(logs)), text[1:]]
    assert ngram_nats(ngrams, text.astype(np.uint8)) == pytest.approx(-chosen.sum(), rel=1e-5)


def test_validation_chooses_the_order() -> None:
    """It is the one with the lowest loss there, whatever the scored text is."""
    training, validation = words(0, 3000), words(1, 500)
    order = best_order(training, validation, SIZE)
    losses = [
        ngram_nats(module._counts(training, candidate, SIZE, None), validation)
        for candidate in range(7)
    ]
    assert order == int(np.argmin(losses[: order + 2]))
    assert order > 0
    noise = np.random.default_rng(1).integers(0, SIZE, 3000).astype(np.uint8)
    assert best_order(noise, noise[:500][::-1].copy(), SIZE) <= 1


def test_each_baseline_has_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated text costs a compressor next to nothing; without a validation split, too."""
    training = words(0, 4000)
    found = {
        one.name: one.bits_per_character
        for one in baselines_of(training[1000:3000], corpus_of(train=training), LETTERS)
    }
    assert {"uniform", "single characters", "n-grams", "xz", "bzip2", "zlib"} <= set(found)
    assert found["uniform"] == pytest.approx(math.log2(SIZE))
    counts = np.bincount(training) / len(training)
    entropy = -(counts[counts > 0] * np.log2(counts[counts > 0])).sum()
    assert found["single characters"] == pytest.approx(entropy, abs=0.1)
    assert found["n-grams"] < 0.5 * found["single characters"]
    assert found["xz"] < 0.2
    assert found["n-grams"] > 0


def test_a_compressor_counts_what_the_text_adds() -> None:
    training, text = b"abcabcabd" * 300, b"xyzxyz" * 50
    added = compressors()["xz"].added_bits(training, text)
    sizes = [len(lzma.compress(one, preset=9)) for one in (training + text, training)]
    assert added == 8 * (sizes[0] - sizes[1])


def test_short_windows_are_remarked() -> None:
    """Where the training text is longer than what a compressor can look back."""
    found = compressors()
    assert found["zlib"].remark(b"a" * 30_000) == ""
    assert "32 kB" in found["zlib"].remark(b"a" * 40_000)
    assert "900 kB" in found["bzip2"].remark(b"a" * 1_000_000)
    assert found["xz"].remark(b"a" * 1_000_000) == ""
    assert "16 MB" in found["xz"].remark(b"a" * 17_000_000)


def test_long_training_texts_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the training text is used, and a remark states this."""
    monkeypatch.setattr(module, "COUNTED_CHARACTERS", 1000)
    training = np.concatenate([np.full(500, 3, np.uint8), words(0, 1000)])
    found = baselines_of(words(1, 300), corpus_of(train=training), LETTERS)
    last = baselines_of(words(1, 300), corpus_of(train=training[-1000:]), LETTERS)
    assert found[1].bits_per_character == last[1].bits_per_character
    assert "last" in found[2].remark
    monkeypatch.setattr(compressors_module, "PRIMING_BYTES", 10)
    assert Compressor(lambda text: text[:11]).added_bits(b"a" * 20, b"bcd") == 8


ZSTD_MODULES = ("compression.zstd", "zstandard")


@pytest.mark.parametrize("name", ZSTD_MODULES)
def test_zstd_looks_far_back(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What stands a megabyte before costs next to nothing; with either module."""
    pytest.importorskip(name)
    for other in ZSTD_MODULES:
        if other != name:
            monkeypatch.setitem(sys.modules, other, None)
    random = np.random.default_rng(0)
    text, others = random.bytes(20_000), random.bytes(1_000_000)
    zstd = compressors()["zstd"]
    assert zstd.added_bits(text + others, text) < 8 * 200 < 8 * 19_000 < zstd.added_bits(b"", text)


def test_zstd_of_python_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14 has it, with a window of 128 MB; without either module it is left out."""
    given: dict[str, int] = {}

    def compress(text: bytes, options: dict[str, int]) -> bytes:
        given.update(options)
        return zlib.compress(text)

    names = ("compression_level", "window_log", "enable_long_distance_matching")
    keys = SimpleNamespace(**{name: name for name in names})
    module = SimpleNamespace(CompressionParameter=keys, compress=compress)
    monkeypatch.setitem(sys.modules, "compression", SimpleNamespace(zstd=module))
    monkeypatch.setitem(sys.modules, "compression.zstd", module)
    assert compressors()["zstd"].added_bits(b"", b"abc") > 0
    assert given == {"compression_level": 19, "window_log": 27, names[2]: 1}
    for name in ZSTD_MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    assert "zstd" not in compressors()
