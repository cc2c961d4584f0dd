"""Text from integers: the seed decides it, and settings restrict it."""

from pathlib import Path

import numpy as np
import pytest
from support.exports import saved_network
from support.integer_networks import VOCABULARY, random_network

from charlm.config.sections.generation import GenerationConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.portable import sampling
from charlm.portable.checkpoint_network import read_network
from charlm.portable.sampling import Random, generate_ids
from charlm.portable.steps import NumpySteps

NETWORK = random_network("gru", scale=3.0)
PREFIX = VOCABULARY.encode_text("ab")


def text(seed: int, **settings: float | int | bool) -> str:
    config = GenerationConfig.model_validate({"length": 60} | settings)
    return VOCABULARY.decode(list(generate_ids(NETWORK, PREFIX, config, seed)))


def test_the_text_is_that_of_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """This text is the same on every machine, with kernels and without."""
    found = text(7)
    monkeypatch.setattr(sampling, "steps_of", NumpySteps)
    assert text(7) == found
    assert [Random(7).bits(), Random(2**63 - 1).bits()] == [1834204, 12471610]


def test_settings_restrict_the_text() -> None:
    """Greedy is top_k 1; each restriction leaves fewer different characters."""
    assert text(1, greedy=True) == text(2, temperature=0) == text(3, top_k=1)
    assert text(1) != text(2)
    for restricted in ({"top_k": 3}, {"top_p": 0.2}, {"min_p": 0.5}, {"temperature": 0.1}):
        assert len(set(text(1, **restricted))) < len(set(text(1)))


def test_samples_follow_the_frequencies() -> None:
    """The first character of many texts has the frequencies of the network."""
    steps = NumpySteps(NETWORK)
    steps.read(PREFIX)
    frequencies = steps.frequencies.copy()
    frequencies[0] = 0  # never the unknown one
    config = GenerationConfig(length=1)
    drawn = [next(generate_ids(NETWORK, PREFIX, config, seed)) for seed in range(1000)]
    counts = np.bincount(drawn, minlength=len(frequencies))
    expected = 1000 * frequencies / frequencies.sum()
    common = expected > 5
    assert ((counts - expected)[common] ** 2 / expected[common]).sum() < 2.5 * common.sum()


def test_records_end_as_in_other_text(tmp_path: Path) -> None:
    """Each end of a record is written out as `generate` writes it, not as the model reads it."""
    vocabulary = Vocabulary(tuple(sorted((0x1E, *VOCABULARY.symbols))))
    predictor = saved_network(
        tmp_path / "network", "gru of records", vocabulary, records="paragraphs"
    )
    ends = b"\n" if predictor.records is None else predictor.records.written_as.encode()
    assert ends != b"\n"
    network, _ = read_network(tmp_path / "network")
    found = b"".join(
        sampling.generate_with_integers(
            network, predictor, vocabulary.encode_text("ab"), seed=3, length=300
        )
    )
    assert ends in found
    assert b"\x1e" not in found


def test_extreme_temperatures_are_refused() -> None:
    with pytest.raises(CharlmError, match=r"generation\.temperature: 1000"):
        text(1, temperature=1000.0)
