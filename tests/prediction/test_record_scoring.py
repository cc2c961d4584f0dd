"""Scores of records: each from a new state, its end included, whatever their order."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples

from charlm.analysis.intervals import score_intervals
from charlm.config.schema import Config, CorpusConfig, GenerationConfig, ModelConfig
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening
from charlm.prediction.generation import generate_text
from charlm.prediction.predictor import Predictor
from charlm.prediction.reading import Streams
from charlm.prediction.scoring import evaluate_split, nats_of_each, score_of_nats, total_nats

VOCABULARY, BOUNDARY = 7, 2
_RECORDS = st.lists(
    st.lists(st.sampled_from([0, 1, 3, 4, 5, 6]), min_size=1, max_size=9), min_size=1, max_size=40
)


def _text(records: list[list[int]]) -> np.ndarray:
    return np.array([BOUNDARY, *(i for one in records for i in (*one, BOUNDARY))], np.uint8)


def _split(records: list[list[int]]) -> Split:
    sizes = np.ones(VOCABULARY, np.uint8)
    return Split(_text(records), sizes, np.zeros(0, UNKNOWN_TYPE), boundary=BOUNDARY)


def _network(seed: int = 0, boundary: int | None = BOUNDARY) -> LanguageModel:
    config = ModelConfig(cell="gru", hidden_size=12, embedding_size=6)
    network = LanguageModel(config, VOCABULARY, boundary)
    network.initialize(torch.Generator().manual_seed(seed))
    return network.eval()


@pytest.fixture(scope="module", params=["network", "ensemble"])
def model(request: pytest.FixtureRequest) -> AnyModel:
    if request.param == "network":
        return _network()
    random = np.random.default_rng(1)
    records = [random.integers(3, VOCABULARY, 5).tolist() for _ in range(60)]
    return Ensemble([_network(), _network(1)], 4, _text(records)).eval()


@given(records=_RECORDS, rows=st.integers(1, 90), data=st.data())
@examples(15)
def test_order_changes_no_score(
    records: list[list[int]], rows: int, data: st.DataObject, model: AnyModel
) -> None:
    """Shuffled records have the same score, in any number of rows: the sum over each alone."""
    shuffled = data.draw(st.permutations(records))
    alone = math.fsum(total_nats(model, _text([record])) for record in records)
    assert total_nats(model, _text(records), rows) == pytest.approx(alone, rel=1e-6)
    assert total_nats(model, _text(shuffled), rows) == pytest.approx(alone, rel=1e-6)
    score = evaluate_split(model, _split(records), rows)
    assert score.records == len(records)
    assert score.characters == sum(map(len, records)) + len(records)
    assert score.nats_per_record == pytest.approx(alone / len(records), rel=1e-6)


@given(records=_RECORDS, rows=st.integers(1, 90), characters=st.integers(1, 300))
@examples(30)
def test_streams_hold_whole_records(records: list[list[int]], rows: int, characters: int) -> None:
    """Streams begin and end with a boundary, do not overlap, and have enough characters."""
    ids = _text(records)
    whole = Streams.of_records(ids, BOUNDARY, rows)
    assert [end - 1 for _, end in whole.spans[:-1]] == [start - 1 for start, _ in whole.spans[1:]]
    assert (whole.spans[0][0], whole.spans[-1][1]) == (1, len(ids))
    part = Streams.of_records(ids, BOUNDARY, rows, characters)
    for streams in (whole, part):
        assert all(ids[start - 1] == ids[end - 1] == BOUNDARY for start, end in streams.spans)
    scored = sum(end - start for start, end in part.spans)
    assert min(characters, len(ids) - 1) <= scored
    assert all(a[1] <= b[0] for a, b in zip(part.spans, part.spans[1:], strict=False))


def test_intervals_draw_records() -> None:
    """The interval of independent records is that of their mean, wherever they stand."""
    random = np.random.default_rng(0)
    records = [random.integers(3, VOCABULARY, random.integers(1, 9)).tolist() for _ in range(400)]
    widths = []
    for text in (records, sorted(records, key=len)):  # sorted: blocks would have unequal records
        split = _split(text)
        nats = nats_of_each(_network(), split.ids)
        intervals, _ = score_intervals(score_of_nats(_network(), split, nats), nats, split)
        assert intervals is not None
        assert intervals.of_records
        low, high = intervals.nats_per_character
        assert low < nats.mean() < high
        widths.append(high - low)
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_text_begins_with_a_record() -> None:
    """A prefix begins a record; without one, a new record begins; ends are written out."""
    letters = Vocabulary(tuple(map(ord, "\x1eabcdef")))
    network = LanguageModel(ModelConfig(hidden_size=12, embedding_size=6), len(letters), 1)
    network.initialize(torch.Generator().manual_seed(3))
    with torch.no_grad():
        network.b_q[1] = 1.0
    config = Config(
        corpus=CorpusConfig(paths=("x",), records="%"), generation=GenerationConfig(length=60)
    )
    opening = Opening.of_passages(network, torch.zeros(2, 1, dtype=torch.long))
    assert opening is not None
    assert opening.ids.tolist() == [[1]]
    for place in (opening, None):
        predictor = Predictor(network, letters, config, opening=place)
        text = generate_text(predictor, seed=1)
        assert "\n%\n" in text
        assert "\x1e" not in text
        assert text == generate_text(predictor, "", seed=1)
    assert text == generate_text(predictor, "abc\x1e", seed=1)  # the record before changes nothing
