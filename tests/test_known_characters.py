"""Fine-tuning on characters that a model does not know, and figures where some are unknown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cli import SMALL, refused, run, train
from test_training import PowerLossError, assert_same_weights, crash_at

import charlm
from charlm.config import ModelConfig
from charlm.known_characters import grown
from charlm.model import LanguageModel
from charlm.vocabulary import Vocabulary

LATIN = "The rain had stopped before the train came in, and nobody said a word.\n" * 60
CYRILLIC = "Дождь кончился до прихода поезда, и никто не сказал ни слова.\n" * 60
EXTEND = "--set=corpus.vocabulary=extend"


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a Latin text."""
    folder = tmp_path_factory.mktemp("latin")
    (folder / "latin.txt").write_text(LATIN, "utf-8")
    settings = ["--set=training.learning_rate=0.02", "--set=model.embedding_size=8"]
    return train(folder / "latin.txt", folder, *settings, "--name", "latin", steps=60)


@pytest.fixture
def cyrillic(tmp_path: Path) -> Path:
    (path := tmp_path / "cyrillic.txt").write_text(CYRILLIC, "utf-8")
    return path


@pytest.mark.parametrize(
    "keys",
    [
        {"cell": "rnn", "num_layers": 2},
        {"cell": "gru", "embedding_size": None},
        {"cell": "lstm", "embedding_size": 12, "tie_weights": True},
        {"cell": "mogrifier", "embedding_size": None, "initialization": "orthogonal"},
        {"cell": "mogrifier", "initialization": "normal"},
    ],
    ids=str,
)
def test_what_was_known_is_predicted_as_before(keys: dict[str, Any]) -> None:
    """But for what the new characters take: together about as much as the unknown symbol has."""
    old, new = Vocabulary((32, 97, 99, 110)), Vocabulary((32, 80, 97, 98, 99, 110, 0x436))
    config = ModelConfig.model_validate({"hidden_size": 12, "embedding_size": 6, **keys})
    before, after = LanguageModel(config, len(old)), LanguageModel(config, len(new))
    for seed, model in enumerate((before, after)):
        model.initialize(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        before.b_q[0] = -5.0  # no text has it
    weights = grown(before.state_dict(), after.state_dict(), old, new)
    after.load_state_dict(weights)
    text = np.random.default_rng(0).choice([32, 97, 99, 110], 40)
    said = []
    for model, vocabulary in ((before, old), (after, new)):
        ids = torch.from_numpy(vocabulary.encode(text).astype(np.int64)).unsqueeze(1)
        with torch.no_grad():
            logits, _ = model.eval()(ids, model.initial_state(1))
        said.append(logits[:, 0].log_softmax(1))
    places = [0, *new.encode(np.array(old.symbols)).tolist()]
    added = [place for place in range(len(new)) if place not in places]
    mass = said[1][:, added].exp().sum(1)
    expected = said[0] + (1 - mass).log().unsqueeze(1)
    torch.testing.assert_close(said[1][:, places], expected, atol=1e-5, rtol=1e-5)
    unknown = said[0][:, 0].exp()
    assert (mass < 3 * unknown).all()
    assert (mass > unknown / 3).all()
    assert len({tuple(row.tolist()) for row in weights["b_q"][added].unsqueeze(1)}) == 1


def test_a_vocabulary_that_does_not_grow_changes_nothing() -> None:
    vocabulary = Vocabulary((32, 97))
    model = LanguageModel(ModelConfig(hidden_size=8), len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    same = grown(model.state_dict(), model.state_dict(), vocabulary, vocabulary)
    assert all(torch.equal(same[name], tensor) for name, tensor in model.state_dict().items())


def test_a_text_that_is_mostly_unknown_is_refused(
    latin: Path, cyrillic: Path, tmp_path: Path
) -> None:
    """Else the model learns to predict "unknown", with a perplexity near 1."""
    start = f"--set=training.start_from={latin}"
    command = ["train", "--text", cyrillic, "--runs", tmp_path, *SMALL]
    refused(run(*command, start), "train split", "corpus.vocabulary=extend")
    ensemble = ("--set=ensemble.members=2", "--name=ensemble")
    refused(run(*command, start, *ensemble), "train split", "corpus.vocabulary=extend")
    assert not (tmp_path / "ensemble").exists()
    mixed = tmp_path / "mixed.txt"
    mixed.write_text(LATIN + CYRILLIC[: len(LATIN) // 9], "utf-8")
    command[2] = mixed
    refused(run(*command, start), "validation split", "corpus.vocabulary=extend")
    refused(run(*command, EXTEND), "training.start_from")
    command[2] = cyrillic
    refused(run(*command, "--set=corpus.minimum_count=200"), "lower corpus.minimum_count")


def test_a_latin_model_learns_and_writes_cyrillic(
    latin: Path, cyrillic: Path, tmp_path: Path
) -> None:
    settings = [EXTEND, f"--set=training.start_from={latin}", "--set=training.learning_rate=0.02"]
    tuned = train(cyrillic, tmp_path, *settings, "--name", "tuned", steps=200)
    model = charlm.load(tuned)
    known = charlm.load(latin).vocabulary.symbols
    assert set(model.vocabulary.symbols) == {*known, *map(ord, CYRILLIC)}
    score = charlm.evaluate(model)
    assert score.unknown_characters == 0
    assert score.nats_per_character < 1.5
    text = "".join(charlm.generate(model, "Дождь ", length=80, seed=1))
    assert sum(character in CYRILLIC for character in text) > 70


def test_a_run_that_extends_a_vocabulary_is_resumed_exactly(
    latin: Path, cyrillic: Path, tmp_path: Path
) -> None:
    settings = [setting.removeprefix("--set=") for setting in (*SMALL, EXTEND)]
    settings += [f"training.start_from={latin}", "training.steps=12", "training.save_every=5"]
    about: Any = {"text": cyrillic, "runs": tmp_path, "settings": settings}
    whole = charlm.train(**about, name="whole").run
    with pytest.raises(PowerLossError):
        charlm.train(**about, name="broken", on_report=crash_at(8))
    broken = charlm.resume(tmp_path / "broken").run
    assert_same_weights(broken.last, whole.last)
    assert_same_weights(broken.best, whole.best)


def test_what_the_vocabulary_does_not_hold_is_said_with_a_score(
    latin: Path, cyrillic: Path
) -> None:
    """A foreign text may be scored: bits per byte are fair, and the protocol says so."""
    score = json.loads(run("eval", latin, "--text", cyrillic, "--json").stdout)
    assert score["unknown_characters"] > 0.7 * score["characters"]
    assert "outside the vocabulary" in score["protocol"]
    assert "bits per byte" in score["protocol"]
    own = json.loads(run("eval", latin, "--json").stdout)
    assert "outside the vocabulary" not in own["protocol"]


def test_bits_per_byte_stand_beside_perplexity_where_characters_are_unknown(
    tmp_path: Path,
) -> None:
    words = "".join(f"{number} rain\n" for number in range(400))
    (path := tmp_path / "text").write_text(words + "Ж".join(words[:300]), "utf-8")
    settings = ["--set=training.steps=3", "--set=corpus.split=[0.8,0.1,0.1]"]
    result = run("train", "--text", path, "--runs", tmp_path, *settings, *SMALL)
    assert result.exit_code == 0, result.output
    folder = Path(result.stdout.splitlines()[-1])
    assert "bits/byte" in result.stderr
    assert "test bits per byte" in result.stdout
    log = (folder / "metrics.jsonl").read_text().splitlines()
    (line,) = [line for line in map(json.loads, log) if "validation_loss" in line]
    assert line["validation_unknown_characters"] > 0
    assert line["validation_bits_per_byte"] > 0

    path.write_text(words)
    result = run("train", "--text", path, "--runs", tmp_path, *settings, *SMALL)
    assert "bits/byte" not in result.stderr
    assert "bits per byte" not in result.stdout


def test_a_teacher_of_fewer_characters_is_refused(
    latin: Path, cyrillic: Path, tmp_path: Path
) -> None:
    teachers = [f"--set=training.teachers={latin}", f"--set=training.start_from={latin}"]
    result = run("train", "--text", cyrillic, "--runs", tmp_path, *SMALL, *teachers, EXTEND)
    refused(result, "training.teachers", "other characters")
