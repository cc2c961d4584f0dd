"""Whole items: distributed as the model's own, new, different, of a given form."""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.generation import make_predictor

from charlm.config.schema import Config, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening
from charlm.prediction.items import items as generated
from charlm.prediction.items.digests import DigestSet, digest_of, digests_between
from charlm.prediction.items.items import Items, generate_items
from charlm.prediction.items.random_numbers import uniforms
from charlm.prediction.items.start import item_start
from charlm.prediction.predictor import Predictor

ABC = Vocabulary(tuple(map(ord, "\nabc")))
LONGEST = 4


def predictor_of(implementation: str = "fused", **keys: Any) -> Predictor:
    """A small network whose next character depends strongly on those before it."""
    sizes = {"hidden_size": 12, "embedding_size": 6, "implementation": implementation}
    config = Config(model=ModelConfig.model_validate(sizes | keys))
    model = LanguageModel(config.model, len(ABC))
    model.initialize(torch.Generator().manual_seed(3))
    with torch.no_grad():
        model.output_weights.mul_(6)
    return Predictor(model.eval(), ABC, config)


def mixture() -> Predictor:
    network = predictor_of()
    assert isinstance(network.model, LanguageModel)
    ids = np.array([1, 2, 3, 1, 2, 2, 4, 1, 3, 2, 1, 2, 4, 4, 1] * 4, np.int32)
    return Predictor(Ensemble([network.model], 2, ids), ABC, network.config)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return predictor_of()


@pytest.fixture(scope="module")
def shares(predictor: Predictor) -> dict[str, float]:
    """The probability of each item of up to `LONGEST` characters, after the boundary."""
    texts = [
        "".join(letters)
        for length in range(LONGEST + 1)
        for letters in itertools.product("abc", repeat=length)
    ]
    return {text: share_of(predictor, text) for text in texts}


def share_of(predictor: Predictor, text: str) -> float:
    ids = torch.from_numpy(ABC.encode_text(f"\n{text}\n").astype(np.int64)).unsqueeze(1)
    with torch.no_grad():
        logits, _ = predictor.model(ids[:-1], predictor.model.initial_state(1))
    logits[:, :, 0] = -torch.inf
    return float(logits.double().log_softmax(2).gather(2, ids[1:, :, None]).sum().exp())


def chi_square(drawn: list[str], shares: dict[str, float]) -> float:
    """Return how many standard deviations χ² is above its mean; rare items are one class."""
    counts, total = Counter(drawn), sum(shares.values())
    expected = {text: len(drawn) * share / total for text, share in shares.items()}
    assert not set(counts) - set(expected)
    rare = [text for text, number in expected.items() if number < 8]
    classes = [(counts[text], number) for text, number in expected.items() if number >= 8]
    classes.append((sum(counts[text] for text in rare), sum(expected[text] for text in rare)))
    square: float = sum((seen - number) ** 2 / number for seen, number in classes if number > 1)
    freedom = len(classes) - 1
    return (square - freedom) / math.sqrt(2 * freedom)


def items_of(predictor: Predictor, number: int = 20, **options: Any) -> list[str]:
    return list(generate_items(predictor, number, **{"seed": 0, **options}))


@pytest.mark.parametrize(
    "condition",
    [{}, {"match": "[ab]*c|a.b"}, {"suffix": "b", "min_length": 2}, {"prefix": "a"}],
    ids=str,
)
def test_items_are_distributed_as_the_model(
    predictor: Predictor, shares: dict[str, float], condition: dict[str, Any]
) -> None:
    """Each item comes as often as the model's own, given the condition."""
    drawn = items_of(predictor, 4000, max_length=LONGEST, **condition)
    pattern = condition.get("match", "(?s:.*)")
    fitting = {
        text: share
        for text, share in shares.items()
        if re.fullmatch(pattern, text)
        and len(text) >= condition.get("min_length", 1)
        and text.startswith(condition.get("prefix", ""))
        and text.endswith(condition.get("suffix", ""))
    }
    assert chi_square(drawn, fitting) < 4


def test_masked_items_have_another_distribution(
    predictor: Predictor, shares: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masked draws all fit; the command says that they are not the model's own distribution."""
    monkeypatch.setattr(generated, "LEAST_YIELD", 1.1)
    monkeypatch.setattr(generated, "_TRIAL_DRAWS", 1)
    items = generate_items(predictor, 3000, match="ab*c|c", max_length=LONGEST, seed=0)
    drawn = list(items)
    counts = items.counts
    assert counts.is_masked
    assert counts.masked_items > 2900
    fitting = {text: share for text, share in shares.items() if re.fullmatch("ab*c|c", text)}
    assert set(drawn) <= set(fitting)
    assert chi_square(drawn, fitting) > 20
    first = np.array([share_of_first(predictor, letter) for letter in "ac"])
    expected = {"a": first[0], "c": first[1]}  # each beginning as often as by its first letter
    assert chi_square([text[0] for text in drawn[-2500:]], expected) < 4


def share_of_first(predictor: Predictor, letter: str) -> float:
    with torch.no_grad():
        logits, _ = predictor.model(torch.tensor([[1]]), predictor.model.initial_state(1))
    return float(logits[0, 0].softmax(0)[int(ABC.encode_text(letter)[0])])


def test_a_rare_form_is_masked(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a yield of 1 in 1,000 characters are masked, and above it they are not."""
    monkeypatch.setattr(generated, "_MEASURED_DRAWS", 100)
    rare = generate_items(predictor, 5, match="(abc){6}", seed=0)
    assert set(rare) == {"abc" * 6}
    assert rare.counts.masked_items == 5
    assert rare.counts.drawn < 11_000
    often = generate_items(predictor, 50, match="a.*", seed=0)
    assert len(list(often)) == 50
    assert not often.counts.masked_items


def test_lines_begin_after_passages(predictor: Predictor) -> None:
    """A model of running text begins items in its openings that end with a newline, by turns."""
    model, ids = predictor.model, torch.tensor([[2, 4, 3], [1, 3, 1]])
    opening = Opening.of_passages(model, ids)
    start = item_start(replace(predictor, opening=opening), np.array([2]), boundary=1)
    for column, passage in enumerate((0, 2)):
        read = torch.cat([ids[:, passage], torch.tensor([2])]).unsqueeze(1)
        with torch.no_grad():
            logits, _ = model(read, model.initial_state(1))
        torch.testing.assert_close(start.logits[column], logits[-1, 0])
    assert len(start.logits) == 2
    one = start.columns(np.array([0, 1, 2]), seed=1)
    assert torch.equal(one.logits, start.logits[[1, 0, 1]])
    without = item_start(predictor, np.array([], int), boundary=1)
    assert len(without.logits) == 1


def test_shorter_lists_begin_longer_ones(predictor: Predictor) -> None:
    """An item depends on the seed and its draw, not on what is drawn beside it."""
    few, many = items_of(predictor, 30), items_of(predictor, 500)
    assert many[:30] == few
    assert items_of(predictor, 30, seed=1) != few


def test_threads_change_no_item(predictor: Predictor) -> None:
    before = torch.get_num_threads()
    alone = items_of(predictor, 300)
    try:
        torch.set_num_threads(3)
        assert items_of(predictor, 300) == alone
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("keys", [{}, {"num_layers": 2}, {"cell": "gru"}, {"cell": "rnn"}], ids=str)
def test_kernels_draw_the_same_items(keys: dict[str, Any]) -> None:
    """The kernels and the model itself draw the same items, also with masks."""
    for options in ({"temperature": 0.8}, {"match": "(ab|c){3}"}):
        fused, plain = (
            items_of(predictor_of(implementation, **keys), 40, **options)
            for implementation in ("fused", "equations")
        )
        assert fused == plain


def test_a_mixture_draws_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item of a mixture begins without the history of another one."""
    model = mixture()
    drawn = items_of(model, 60, top_p=0.9)
    from charlm.prediction import generated_ids

    monkeypatch.setattr(generated_ids, "is_supported", lambda _: False)
    assert items_of(model, 60, top_p=0.9) == drawn


def test_items_have_the_form_that_is_asked(predictor: Predictor) -> None:
    for condition, law in (
        ({"prefix": "ab"}, "ab.*"),
        ({"suffix": "cc"}, ".*cc"),
        ({"min_length": 3, "max_length": 5}, ".{3,5}"),
        ({"prefix": "b", "suffix": "b", "match": "[bc]*"}, "b|b[bc]*b"),
    ):
        for item in items_of(predictor, **condition):
            assert re.fullmatch(law, item)


def test_different_items(predictor: Predictor) -> None:
    """`unique` leaves out what came before, and nothing else."""
    drawn = items_of(predictor, 400)
    different = items_of(predictor, 50, unique=True)
    assert different == list(dict.fromkeys(drawn))[:50]


def test_new_items(predictor: Predictor, tmp_path: Path) -> None:
    """`not_in` names files whose lines do not come, and nothing else is left out."""
    drawn = items_of(predictor, 200)
    file = tmp_path / "known.txt"
    file.write_text("".join(f"{item}\n" for item in drawn[::3]), "utf-8")
    items = generate_items(predictor, 40, not_in=file, seed=0)
    expected = [item for item in items_of(predictor, 1000) if item not in drawn[::3]]
    assert list(items) == expected[:40]
    assert items.counts.new == 40 < items.counts.matching


def test_it_ends_where_nothing_more_is_found(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generated, "_MOST_VAIN_DRAWS", 1000)
    items = generate_items(predictor, 20, match="ab?|c", unique=True, seed=0)
    assert sorted(items) == ["a", "ab", "c"]
    assert items.is_exhausted
    assert items.counts.unique == 3
    assert items.vain_draws >= 1000


def test_counts_end_with_the_last_item(predictor: Predictor) -> None:
    items = generate_items(predictor, 50, match="a.*", unique=True, seed=0)
    drawn = list(items)
    counts = items.counts
    assert counts.items == counts.unique == len(drawn) == 50
    assert counts.drawn >= counts.matching >= 50
    every = items_of(predictor, counts.drawn, min_length=0)
    assert drawn[-1] == every[-1]
    assert sum(item.startswith("a") for item in every) == counts.matching


def test_impossible_conditions_are_one_line(predictor: Predictor) -> None:
    for options, message in (
        ({"match": "x+"}, "no item of the model's characters matches 'x\\+'"),
        ({"match": "a{9}", "max_length": 8}, "at least 9 characters, and --max-length is 8"),
        ({"min_length": 3, "max_length": 2}, "--min-length 3 and --max-length 2"),
        ({"match": "b.*", "prefix": "a"}, "begins with 'a' and matches"),
        ({"suffix": "x"}, "ends with 'x'"),
        ({"length": 3}, "max_length instead of length"),
    ):
        with pytest.raises(CharlmError, match=message):
            items_of(predictor, **options)
    no_lines = make_predictor(Vocabulary(tuple(map(ord, "ab"))))
    with pytest.raises(CharlmError, match="no newline"):
        items_of(no_lines)


def test_items_of_bytes() -> None:
    """A byte model's items match as text; lengths are in bytes."""
    model = make_predictor(Vocabulary.of_bytes())
    assert isinstance(model.model, LanguageModel)
    with torch.no_grad():
        model.model.b_q.fill_(-20)
        model.model.b_q[list("é\n".encode())] = 1
    drawn = items_of(model, 10, match="é+", min_length=4)
    assert all(re.fullmatch("é{2,}", item) for item in drawn)


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12))
def test_digests_are_a_set(batches: list[list[int]]) -> None:
    """Digests that are added are in the set, each is new once."""
    found, seen = DigestSet(), set[int]()
    for batch in batches:
        digests = np.array(batch, np.uint64)
        assert found.contains(digests).tolist() == [one in seen for one in batch]
        expected = []
        for one in batch:
            expected.append(one not in seen)
            seen.add(one)
        assert found.add(digests).tolist() == expected
    assert len(found) == len(seen)


def test_a_digest_takes_few_bytes() -> None:
    """At most 16 bytes an item, also while it grows."""
    found, numbers = DigestSet(), np.random.default_rng(0).integers(2**63, size=100_000)
    for batch in np.array_split(numbers.astype(np.uint64), 700):
        found.add(batch)
        assert 2 * found.nbytes <= 16 * len(found)
    one, other = digest_of([np.array([1, 2], np.uint8), np.array([1, 2], np.int64)])
    assert one == other


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=9))
def test_digests_of_a_text_are_of_its_items(items: list[list[int]]) -> None:
    """A text that is read at once has the digests of its items, whatever their type."""
    text = np.array([i for item in items for i in (*item, 9)], np.uint8)
    bounds = [-1, *np.flatnonzero(text == 9).tolist()]
    alone = digest_of(np.array(item, np.int64) for item in items)
    assert digests_between(text, bounds).tolist() == alone.tolist()


def test_random_numbers_are_of_a_draw() -> None:
    """A number depends on the seed, the draw and the place; together they are uniform."""
    draws, places = np.arange(500), np.zeros(500, np.int64)
    numbers = uniforms(7, draws, places, 20)
    later = uniforms(7, draws[30:40], places[:10] + 5, 3)
    assert np.array_equal(later, numbers[5:8, 30:40])
    assert not np.array_equal(uniforms(8, draws, places, 20), numbers)
    seen = np.histogram(numbers, bins=50, range=(0, 1))[0]
    assert ((seen - 200) ** 2 / 200).sum() < 49 + 4 * 98**0.5
    for lag in (numbers[1:] - numbers[:-1], numbers[:, 1:] - numbers[:, :-1]):
        assert abs(np.abs(lag).mean() - 1 / 3) < 0.01


def test_items_are_an_iterator(predictor: Predictor) -> None:
    items = generate_items(predictor, 3, seed=0)
    assert isinstance(items, Items)
    assert [next(items), *items] == items_of(predictor, 3)
