"""Openings: text without a prefix begins where text begins; a sample depends on itself alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.generation import generate_many
from support.training import train

import charlm
from charlm.config.schema import Config, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError
from charlm.models import openings
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening, choose_passages
from charlm.prediction import evaluation
from charlm.prediction.generation import generate
from charlm.prediction.predictor import Predictor
from charlm.runs import training_text
from charlm.runs.checkpoint import read_checkpoint, write_checkpoint


@pytest.fixture(autouse=True)
def _usual_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "_PASSAGE_CHARACTERS", 256)


LETTERS = Vocabulary(tuple(map(ord, "\n .abcdefgh")))
RECORDS = ("@one\n" + "two\none\n" * 4 + "\n") * 40
"""Paragraphs begin with a mark, and their other lines do not: a line end alone says too little."""
KINDS: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru", "num_layers": 2},
    "lstm": {"cell": "lstm"},
    "mogrifier": {"cell": "mogrifier"},
    "equations": {"cell": "lstm", "implementation": "equations"},
    "ensemble": {"num_layers": 2},
}


def text_ids(vocabulary: Vocabulary) -> np.ndarray:
    words = np.random.default_rng(0).choice(["abc", "gh", "face.\n", "bad\n\n"], 400)
    return vocabulary.encode_text(" ".join(words))


def make_model(kind: str, vocabulary: Vocabulary = LETTERS) -> LanguageModel | Ensemble:
    config = ModelConfig.model_validate({"hidden_size": 16, "embedding_size": 6, **KINDS[kind]})
    members = [LanguageModel(config, len(vocabulary)) for _ in range(2)]
    for number, member in enumerate(members):
        member.initialize(torch.Generator().manual_seed(number))
        with torch.no_grad():
            for parameter in member.parameters():
                parameter.mul_(1.5)  # far from a guess
    if kind == "ensemble":
        return Ensemble(members, 3, text_ids(vocabulary)).eval()
    return members[0].eval()


def make_predictor(kind: str, vocabulary: Vocabulary = LETTERS, seed: int = 0) -> Predictor:
    model = make_model(kind, vocabulary)
    passages = choose_passages(text_ids(vocabulary), vocabulary, seed)
    opening = Opening.of_passages(model, passages)
    return Predictor(model, vocabulary, Config(), opening=opening)


def test_no_prefix_starts_a_paragraph(tmp_path: Path) -> None:
    """In the samples of a run, in `generate` and in `generate_many`."""
    (tmp_path / "text").write_text(RECORDS)
    settings = ["training.steps=120", "training.learning_rate=3e-2", "generation.temperature=0.5"]
    run = train(tmp_path / "text", tmp_path, *settings)
    assert run.samples.read_text().startswith("--- step 120 ---\n@")
    for checkpoint in (run.best, run.last):
        loaded = charlm.load(checkpoint)
        texts = ["".join(generate(loaded, seed=seed, length=5)) for seed in range(8)]
        texts += generate_many(loaded, num_samples=8, seed=8, length=5)
        assert {text[0] for text in texts} == {"@"}


@pytest.mark.parametrize("vocabulary", [LETTERS, Vocabulary.of_bytes()], ids=["text", "bytes"])
@pytest.mark.parametrize("kind", KINDS)
def test_opening_is_state_after_passage(kind: str, vocabulary: Vocabulary) -> None:
    """Text without a prefix continues like text after that passage of real text."""
    writer = make_predictor(kind, vocabulary)
    passages = choose_passages(text_ids(vocabulary), vocabulary, 0)
    options: dict[str, Any] = {"greedy": True, "length": 20}
    texts = generate_many(writer, num_samples=16, seed=0, **options)
    for seed in (0, 7, 15):
        passage = vocabulary.decode(passages[:, seed].tolist())
        assert passage.endswith("\n\n")
        assert texts[seed] == "".join(generate(writer, "", seed=seed, **options))
        assert texts[seed] == "".join(generate(writer, passage, seed=seed, **options))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_sample_is_independent_of_number(kind: str, precision: Any) -> None:
    """Sample 1 of a seed is the one text of that seed, and all samples differ."""
    writer = make_predictor(kind)
    writer.model.precision = precision
    for prefix in ("", "ab"):
        one = "".join(generate(writer, prefix, seed=9, length=25))
        five = generate_many(writer, prefix, num_samples=5, seed=9, length=25)
        many = generate_many(writer, prefix, num_samples=17, seed=9, length=25)
        assert (one, five) == (five[0], many[:5])
        assert len(set(many)) == 17


@pytest.mark.parametrize("seed", [0, 3, 2**62, 2**63 - 1])
def test_samples_have_different_openings(seed: int) -> None:
    """Samples of one call have different openings."""
    opening = make_predictor("lstm").opening
    assert opening is not None
    rows = [tuple(row.tolist()) for row in opening.for_samples(seed, 16).state[0][0]]
    assert len(set(rows)) == 16
    assert opening.for_samples(seed, 1).state[0][0][0].tolist() == list(rows[0])


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One two.\nThree\n\nfour\n \nfive. ", ("\n\n", "\n \n")),
        ("one\r\ntwo. A\r\n\r\nthree. B\r\n", ("\r\n\r\n",)),
        ("one, two\r\nthree. four\r\n", ("\r\n",)),
        ("name one\nname two\n", ("\n",)),
        ("What? One, two. Three «four.» Five", ("? ", ". ", "» ")),
        ("雨。列車。", ("。",)),
        ("one two three ", (" ",)),
        ("onetwothree", tuple("onetwothree")),
    ],
)
@pytest.mark.parametrize("unit", ["character", "byte"])
def test_passages_end_where_something_ends(text: str, ends: tuple[str, ...], unit: Any) -> None:
    if unit == "byte" and not text.isascii():
        return
    whole = text * (600 // len(text))
    symbols = tuple(sorted(set(map(ord, whole))))
    vocabulary = Vocabulary.of_bytes() if unit == "byte" else Vocabulary(symbols)
    for seed in (0, 1):
        passages = choose_passages(vocabulary.encode_text(whole), vocabulary, seed)
        for passage in passages.t():
            read = vocabulary.decode(passage.tolist())
            assert read in whole
            assert read.endswith(ends)


@given(st.text("a \n.", min_size=2, max_size=600), st.integers(0, 2**62))
def test_any_text_has_passages(text: str, seed: int) -> None:
    vocabulary = Vocabulary(tuple(sorted(set(map(ord, text)))))
    ids = vocabulary.encode_text(text)
    passages = choose_passages(ids, vocabulary, seed)
    assert 2 <= len(passages) <= 256
    assert all(vocabulary.decode(p.tolist()) in text for p in passages.t())
    assert torch.equal(passages, choose_passages(ids, vocabulary, seed))


def test_only_windows_of_a_text_are_read() -> None:
    """Of a large text, only windows are read."""

    class Large:
        """Stands for two billion ids, which it makes where they are read."""

        read = 0

        def __len__(self) -> int:
            return 2 * 10**9

        def __getitem__(self, place: slice) -> np.ndarray:
            ids = np.arange(place.start, min(place.stop, len(self)))
            self.read += len(ids)
            return (ids % 7 + 1).astype(np.uint8)

    large = Large()
    vocabulary = Vocabulary(tuple(map(ord, "\nabcdef")))
    passages = choose_passages.__wrapped__(large, vocabulary, 0)  # type: ignore[attr-defined]
    assert large.read < 100_000
    assert passages[-1].eq(1).all()


def test_passage_must_have_finite_state() -> None:
    """A passage without a finite state is dropped."""
    writer = make_predictor("rnn")
    passages = choose_passages(text_ids(LETTERS), LETTERS, 0)
    for parameter in writer.model.parameters():
        parameter.data.fill_(torch.nan)
    assert Opening.of_passages(writer.model, passages) is None


def test_opening_is_saved_without_text(tmp_path: Path) -> None:
    """A checkpoint contains the states of an opening, but no text."""
    (tmp_path / "text").write_text(RECORDS)
    run = train(tmp_path / "text", tmp_path, "training.steps=4")
    tensors = read_checkpoint(run.best).opening_tensors
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "ids": (16,),
        "0.0": (16, 16),
        "0.1": (16, 16),
    }


def test_adapted_model_has_new_opening(tmp_path: Path) -> None:
    """A model that was adapted has an opening with its new weights."""
    (tmp_path / "text").write_text(RECORDS)
    run = train(tmp_path / "text", tmp_path, "training.steps=4")
    saved = tmp_path / "adapted"
    before = charlm.load(run.path)
    evaluation.evaluate_dynamically(before, split="test", save=saved)
    after = charlm.load(saved)
    ids = training_text.training_corpus(read_checkpoint(run.best)).splits["train"].ids
    passages = choose_passages(ids, after.vocabulary, 0)
    again, kept = Opening.of_passages(after.model, passages), after.opening
    assert again is not None
    assert kept is not None
    assert torch.equal(again.state[0][0], kept.state[0][0])
    assert before.opening is not None
    assert not torch.equal(before.opening.state[0][0], kept.state[0][0])


def forgeries(kept: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """Change one thing of an opening each time."""
    yield {"ids": kept["ids"]}
    yield {name: tensor for name, tensor in kept.items() if name != "ids"}
    for ids in (
        torch.full_like(kept["ids"], -1),
        torch.full_like(kept["ids"], len(LETTERS)),
        kept["ids"].int(),
        kept["ids"].float(),
        kept["ids"][:3],
        kept["ids"][:0],
        kept["ids"].unsqueeze(0),
        torch.zeros(17, dtype=torch.long),
    ):
        yield kept | {"ids": ids}
    for name in sorted(set(kept) - {"ids"}):
        tensor = kept[name]
        for odd in (tensor[1:], tensor[:, 1:], tensor.double(), tensor.unsqueeze(0), tensor[0]):
            yield kept | {name: odd}
        for value in (torch.nan, torch.inf):
            yield kept | {name: torch.full_like(tensor, value)}
        yield {other: tensor for other, tensor in kept.items() if other != name}
    yield kept | {"9.0": kept["0.0"]}


@pytest.mark.parametrize("kind", ["lstm", "gru", "ensemble"])
def test_forged_opening_is_refused(kind: str, tmp_path: Path) -> None:
    """An invalid opening is refused in one line."""
    writer = make_predictor(kind)
    assert writer.opening is not None
    (tmp_path / "text").write_text(RECORDS)
    honest = writer.opening.tensors()
    assert Opening.of_tensors(writer.model, honest) is not None
    forged = list(forgeries(honest))
    if kind == "ensemble":  # the last ids before, plus one
        forged += [
            honest | {"4.0": torch.full_like(honest["4.0"], odd)}
            for odd in (-1.0, 0.5, len(LETTERS) + 1.0, 1e30)
        ]
    for tensors in forged:
        with pytest.raises(ValueError, match=r"^opening[^\n]*$"):
            Opening.of_tensors(writer.model, tensors)


def test_checkpoint_of_forged_opening_is_named(tmp_path: Path) -> None:
    """The error for an invalid opening names the checkpoint."""
    (tmp_path / "text").write_text(RECORDS)
    run = train(tmp_path / "text", tmp_path, "training.steps=4")
    checkpoint = read_checkpoint(run.best)
    odd = checkpoint.opening_tensors | {"0.0": torch.full((16, 16), torch.nan)}
    write_checkpoint(tmp_path / "odd", replace(checkpoint, opening_tensors=odd))
    with pytest.raises(
        CheckpointError, match=r"^[^\n]*odd: the opening does not match[^\n]*finite"
    ):
        charlm.load(tmp_path / "odd")
