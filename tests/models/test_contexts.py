"""Laws of ensembles with words, lines and matches: causal, in pieces, reproducible."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pytest
import torch
from support.ensembles import (
    LETTERS,
    SIZE,
    lines_of,
    make_member,
    part_of,
    repetitive,
    some_ids,
    words_of,
)

from charlm.config.schema import Config, EnsembleConfig, ModelConfig
from charlm.models.ensemble import Ensemble
from charlm.models.ngrams import Parts
from charlm.prediction import dynamic
from charlm.prediction.dynamic import DynamicEvaluation, Rates
from charlm.prediction.reading import Streams, each_piece
from charlm.prediction.scoring import total_nats


class TextMaker(Protocol):
    """Returns a random text of a length."""

    def __call__(self, seed: int, length: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Kind:
    """What an ensemble looks up besides n-grams, and texts that have much of it."""

    text: TextMaker
    parts: Parts

    def ensemble(self, training: np.ndarray) -> Ensemble:
        ensemble = Ensemble([make_member(3)], 2, training, parts=self.parts)
        ensemble.weights += 0.1
        return ensemble


KINDS = {
    "words": Kind(words_of, Parts(LETTERS, has_words=True)),
    "lines": Kind(lines_of, Parts(LETTERS, has_lines=True)),
    "matches": Kind(repetitive, Parts(LETTERS, has_words=True, has_matches=True)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.mark.parametrize("length", [2, 33, 40])
def test_a_text_is_scored_before_counted(
    kind: Kind, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the probabilities of all that could come next would not add up to one."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    training, text = kind.text(7, 300).astype(np.uint8), kind.text(7, 60 + length)[60:]

    def nats_of(ids: np.ndarray) -> float:
        evaluation = DynamicEvaluation(kind.ensemble(training), training, Rates(learning=1e-2))
        return evaluation.score(part_of(ids)).nats

    whole = nats_of(text)
    after = [nats_of(np.append(text, symbol)) for symbol in range(SIZE)]
    assert sum(math.exp(whole - total) for total in after) == pytest.approx(1, abs=1e-4)


def test_streams_see_all_that_counts_need(kind: Kind) -> None:
    """Networks read only some characters before a stream; counts predict as in one stream."""
    ensemble, text = kind.ensemble(kind.text(1, 900).astype(np.uint8)), kind.text(5, 2_600)
    ensemble.weights[:, 0] = 0  # of the network
    found = []
    for rows in (1, 7):
        nats = np.zeros(len(text))
        for piece in each_piece(ensemble, text, Streams.of(len(text), rows)):
            nats[piece.places] = piece.nats().numpy()
        found.append(nats)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_the_texts_have_what_is_looked_up(kind: Kind) -> None:
    """Without the parts, predictions differ: else these laws would say nothing."""
    training, text = kind.text(1, 900).astype(np.uint8), kind.text(6, 300)
    with_parts = kind.ensemble(training)
    without = Ensemble([make_member(3)], 2, training)
    without.weights[:] = with_parts.weights[:3, :4]
    assert abs(total_nats(with_parts, text) - total_nats(without, text)) > 1


def test_pieces_and_columns_are_the_whole(kind: Kind) -> None:
    """Pieces and single columns give the results of the whole batch."""
    ensemble = kind.ensemble(kind.text(1, 400).astype(np.uint8))
    ids = torch.from_numpy(np.stack([kind.text(1, 80), kind.text(6, 80)], axis=1))
    with torch.no_grad():
        whole, _ = ensemble(ids, ensemble.initial_state(2))
        state, pieces = ensemble.initial_state(2), []
        for piece in torch.tensor_split(ids, (1, 2, 30, 63)):
            output, state = ensemble(piece, state)
            pieces.append(output)
        column, _ = ensemble(ids[:, 1:], ensemble.initial_state(1))
    torch.testing.assert_close(torch.cat(pieces), whole)
    torch.testing.assert_close(column[:, 0], whole[:, 1])


def test_a_reloaded_ensemble_is_the_same(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, also after texts that were counted online, if these are counted once."""
    monkeypatch.setattr(dynamic, "_TIMES_COUNTED", 1)
    config = Config(
        model=ModelConfig(hidden_size=16, embedding_size=8),
        ensemble=EnsembleConfig(ngram_order=2),
    )
    ensemble = kind.ensemble(kind.text(1, 400).astype(np.uint8))
    DynamicEvaluation(ensemble, some_ids(7).astype(np.uint8), Rates()).score(
        part_of(kind.text(8, 90))
    )
    again = Ensemble.from_tensors(config, SIZE, ensemble.tensors(), parts=kind.parts)
    text = kind.text(9, 200)
    assert total_nats(again, text) == total_nats(ensemble, text)
