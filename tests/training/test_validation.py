"""Validation while training: each row knows what really precedes it, and all counts are exact."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import SMALL, run
from support.scoring import a_split, make_model, random_ids

import charlm
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.models.language_model import LanguageModel
from charlm.prediction.reading import WARM_UP, Streams
from charlm.prediction.scoring import evaluate_split
from charlm.training.events import Event, Validated


def plain_loop(model: LanguageModel, ids: np.ndarray, start: int, length: int) -> float:
    """Score the `length` ids after a start, with the 256 before it read first."""
    before = ids[max(0, start - WARM_UP) : start] if start else ids[:0]
    state, nats = model.initial_state(1), 0.0
    with torch.no_grad():
        for now in before:
            _, state = model(torch.tensor([[int(now)]]), state)
        for place in range(start, start + length):
            logits, state = model(torch.tensor([[int(ids[place])]]), state)
            nats -= float(logits[0, 0].double().log_softmax(0)[int(ids[place + 1])])
    return nats


@pytest.mark.parametrize(("size", "characters"), [(3000, 900), (3000, None), (1200, 1199)])
def test_streams_read_what_precedes_them(size: int, characters: int | None) -> None:
    """Streams give the sum of a plain loop, over a whole text and a piece of it."""
    model, ids = make_model(cell="rnn"), random_ids(size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that the state remembers, and a false one is seen
    score = evaluate_split(model, a_split(ids), 3, characters=characters)
    expected = 0.0
    length = 900 // 3 if characters == 900 else -(-(size - 1) // 3)
    step = (size - 1) // 3 if characters == 900 else length
    for row in range(3):
        scored = min(length, size - 1 - row * step)
        expected += plain_loop(model, ids, row * step, scored)
    assert score.nats == pytest.approx(expected, rel=1e-5)
    assert score.characters == (900 if characters == 900 else size - 1)


def test_bytes_and_unknowns_of_streams(tmp_path: Path) -> None:
    """Bytes and unknown characters are those of exactly the scored characters."""
    text = "".join("aé雨🙂"[place // 700] * 5 + "bЖ"[place % 2] for place in range(2800))
    training, validation = tmp_path / "training", tmp_path / "validation"
    training.write_text("abaé雨🙂" * 10, "utf-8")
    validation.write_text(text, "utf-8")
    keys = {"paths": (str(training),), "validation_paths": (str(validation),)}
    corpus = build_corpus(CorpusConfig.model_validate(keys))
    part = corpus.splits["validation"]
    cut = Streams.of(len(text), 7, 4000)
    scored = "".join(text[start:end] for start, end in cut.spans)
    assert len(cut) == 7
    model = make_model()
    score = evaluate_split(model, part, 7, characters=4000)
    assert score.characters == len(scored)
    assert score.bytes == len(scored.encode())
    assert score.unknown_characters == scored.count("Ж")


def test_unknown_first_character(tmp_path: Path) -> None:
    """Of `éab`, the model predicts a and b: none of them is unknown."""
    (training := tmp_path / "training").write_text("ab" * 500)
    settings = [setting.removeprefix("--set=") for setting in SMALL]
    finished = charlm.train(
        "quickstart", text=training, runs=tmp_path, settings=[*settings, "training.steps=2"]
    )
    (other := tmp_path / "other").write_text("éab", "utf-8")
    result = run("eval", finished.folder.path, "--text", other, "--json")
    score = json.loads(result.stdout)
    assert (score["characters"], score["unknown_characters"]) == (2, 0)
    nats = score["nats_per_character"] * 2
    assert score["bits_per_byte"] == pytest.approx(nats / math.log(2) / 2)


def test_validation_equals_the_plain_loop(tmp_path: Path) -> None:
    """The validation loss that is emitted, logged and compared is that of a plain loop."""
    words = np.random.default_rng(0).choice(["rain ", "train ", "snow ", "doors.\n"], 900)
    (path := tmp_path / "text").write_text("".join(words))
    settings = [setting.removeprefix("--set=") for setting in SMALL]
    settings += ["training.steps=3", "corpus.split=[0.5,0.5,0]", "training.learning_rate=0.05"]
    settings += ["training.validation_rows=4", "training.validation_characters=1100"]
    seen: list[Validated] = []

    def note(event: Event) -> None:
        if isinstance(event, Validated):
            seen.append(event)

    finished = charlm.train(
        "quickstart", text=path, runs=tmp_path, settings=settings, on_event=note
    )
    predictor = charlm.load(finished.folder.path)
    assert predictor.checkpoint is not None
    ids = build_corpus(predictor.config.corpus).splits["validation"].ids
    starts = (np.arange(4) * ((len(ids) - 1) // 4)).tolist()
    model = predictor.model
    assert isinstance(model, LanguageModel)
    nats = sum(plain_loop(model, ids, start, 275) for start in starts)
    assert seen[-1].score.characters == 1100
    assert seen[-1].score.nats == pytest.approx(nats, rel=1e-5)
    assert finished.best_loss == pytest.approx(nats / 1100, rel=1e-5)
