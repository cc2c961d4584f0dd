"""Evaluation: every character but the first once, the state carried, totals divided once."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.properties import examples
from support.scoring import VOCABULARY, a_split, make_model, random_ids

from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE
from charlm.errors import CorpusError
from charlm.models.language_model import LanguageModel
from charlm.prediction import reading
from charlm.prediction.perplexity import Score
from charlm.prediction.reading import WARM_UP, Streams
from charlm.prediction.scoring import evaluate_split, total_nats


def one_by_one(model: LanguageModel, ids: np.ndarray) -> float:
    """Score a text by stepping through it: the definition."""
    state, nats = model.initial_state(1), 0.0
    with torch.no_grad():
        for now, after in pairwise(ids):
            logits, state = model(torch.tensor([[int(now)]]), state)
            nats -= float(logits[0, 0].double().log_softmax(0)[int(after)])
    return nats


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mogrifier"])
@pytest.mark.parametrize("length", [2, 3, 50, 333])
def test_exact_score_is_sum_over_steps(cell: str, length: int) -> None:
    """The exact score is the sum over single steps."""
    model, ids = make_model(cell=cell, num_layers=2), random_ids(length)
    assert total_nats(model, ids) == pytest.approx(one_by_one(model, ids), rel=1e-5)


@given(st.integers(2, 2000), st.integers(1, 97))
@examples(25)
def test_piece_size_changes_no_score(length: int, chunk: int) -> None:
    """The number of predictions at once does not change the score."""
    model, ids = make_model(), random_ids(length)
    whole = total_nats(model, ids)
    before, reading._PREDICTIONS_AT_ONCE = reading._PREDICTIONS_AT_ONCE, chunk
    try:
        assert total_nats(model, ids) == pytest.approx(whole, rel=1e-5)
    finally:
        reading._PREDICTIONS_AT_ONCE = before


@given(st.integers(2, 4000), st.integers(1, 40))
@examples(25)
def test_zero_logits_score_log_of_vocabulary(length: int, rows: int) -> None:
    """In any number of rows: every character but the first is scored exactly once."""
    model = make_model()
    for parameter in model.parameters():
        parameter.data.zero_()
    expected = (length - 1) * math.log(VOCABULARY)
    assert total_nats(model, random_ids(length), rows) == pytest.approx(expected, rel=1e-6)


def test_streams_differ_by_context_alone() -> None:
    """A model that forgets within the warm-up scores alike; one that does not, nearly so."""
    ids = random_ids(10 * WARM_UP + 17)
    forgetful = make_model()
    exact = total_nats(forgetful, ids)
    for rows in (2, 3, 7):
        assert total_nats(forgetful, ids, rows) == pytest.approx(exact, rel=1e-4)


def test_first_stream_has_no_context() -> None:
    """The first stream begins with the zero state."""
    model = make_model()
    ids = random_ids(4 * WARM_UP + 1)
    first = total_nats(model, ids[: 2 * WARM_UP + 1])
    second = total_nats(model, ids, 2) - first
    with torch.no_grad():
        warm, scored = ids[WARM_UP : 2 * WARM_UP], ids[2 * WARM_UP :]
        inputs = torch.from_numpy(warm.astype(np.int64)).unsqueeze(1)
        _, state = model(inputs, model.initial_state(1))
        inputs = torch.from_numpy(scored[:-1].astype(np.int64)).unsqueeze(1)
        logits, _ = model(inputs, state)
        targets = torch.from_numpy(scored[1:].astype(np.int64))
        expected = torch.nn.functional.cross_entropy(logits[:, 0], targets, reduction="sum")
    assert second == pytest.approx(float(expected), rel=1e-4)


def test_scoring_restores_the_mode() -> None:
    """Scoring leaves a model in training or evaluation mode."""
    model = make_model(dropout=0.5)
    for mode in (True, False):
        model.train(mode)
        first = total_nats(model, random_ids(40))
        assert model.training is mode
        assert total_nats(model, random_ids(40)) == first  # and draws no dropout


def test_a_score_divides_its_totals() -> None:
    score = Score(nats=200.0, characters=100, bytes=150, unknown_characters=3)
    assert score.nats_per_character == 2.0
    assert score.perplexity == pytest.approx(math.exp(2.0))
    assert score.bits_per_character == pytest.approx(2 / math.log(2))
    named = 3 * math.log2(0x110000)  # which of all characters each unknown one is
    assert score.bits_per_byte == pytest.approx((200 / math.log(2) + named) / 150)
    assert set(score.to_json()) == {
        *("nats_per_character", "perplexity", "bits_per_character", "bits_per_byte"),
        *("characters", "unknown_characters"),
    }
    assert Score(1e9, 1, 1, 0).perplexity == math.inf


@given(st.integers(2, 3000), st.integers(1, 2000), st.integers(1, 20))
@settings(deadline=None)
def test_streams_are_spread_evenly(length: int, characters: int, rows: int) -> None:
    """Streams of some characters of a text are spread evenly over it."""
    cut = Streams.of(length, rows, characters)
    scored = [place for start, end in cut.spans for place in range(start, end)]
    assert len(set(scored)) == len(scored)
    assert 0 not in scored
    if length - 1 <= characters:
        assert scored == list(range(1, length))
        return
    assert len(cut) <= rows
    assert characters - rows < len(scored) <= characters
    assert len({end - start for start, end in cut.spans}) == 1
    steps = np.diff(cut.starts)
    assert len(set(steps)) <= 1
    assert all(step >= (length - 1) // rows for step in steps)
    assert all(start >= WARM_UP for start in cut.starts[1:])


def test_the_first_character_counts_nowhere() -> None:
    ids = np.array([0, 4, 3, 0, 3], np.uint8)
    sizes = np.array([0, 1, 1, 3, 2, *[1] * 6], np.uint8)
    unknown = np.array([(0, ord("😀")), (3, ord("é"))], UNKNOWN_TYPE)
    score = evaluate_split(make_model(), Split(ids, sizes, unknown))
    assert (score.characters, score.bytes, score.unknown_characters) == (4, 2 + 3 + 2 + 3, 1)


@pytest.mark.parametrize("length", [0, 1])
def test_too_short_text_is_refused(length: int) -> None:
    """A text without a second character cannot be scored."""
    with pytest.raises(CorpusError, match="none to predict"):
        evaluate_split(make_model(), a_split(random_ids(length)))
