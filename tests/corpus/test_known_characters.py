"""Fine-tuning on characters that a model does not know, and figures where some are unknown."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import SMALL, quickstart_on, refused, run, train
from support.training import PowerLossError, assert_same_weights, crash_at

import charlm
from charlm.config.schema import ModelConfig
from charlm.corpus.frequencies import estimate_frequencies
from charlm.corpus.vocabulary import Vocabulary
from charlm.distributed.processes import Processes
from charlm.models.language_model import LanguageModel
from charlm.models.new_characters import _shift, load_extended

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
def test_what_was_known_is_predicted_as_before(keys: dict[str, Any], tmp_path: Path) -> None:
    """New characters get their share of the new text, and all of the rest is as it was."""
    (base_text := tmp_path / "latin.txt").write_text(LATIN, "utf-8")
    lines = [
        line for pair in zip(LATIN.split("\n"), CYRILLIC.split("\n"), strict=True) for line in pair
    ]
    (text := tmp_path / "both.txt").write_text("\n".join(lines), "utf-8")
    keys = {"hidden_size": 12, "embedding_size": 6, **keys}
    small = [setting.removeprefix("--set=") for setting in SMALL]
    small += [f"model.{key}={json.dumps(value)}" for key, value in keys.items()]
    about: Any = {"runs": tmp_path, "on_event": lambda event: None}
    base = charlm.train(
        "quickstart", text=base_text, name="base", settings=[*small, "training.steps=30"], **about
    ).folder.path
    tuned = charlm.train(
        "quickstart",
        text=text,
        name="tuned",
        settings=[
            *small,
            "corpus.vocabulary=extend",
            f"training.start_from={base}",
            "training.steps=1",
            "training.learning_rate=1e-9",  # the weights stay what they are before the first step
        ],
        **about,
    ).folder.path
    before: Any = charlm.load(base)
    after: Any = charlm.load(tuned)

    def log_probabilities(model: Any, text: str) -> Any:
        ids = torch.from_numpy(model.vocabulary.encode_text(text).astype(np.int64)).unsqueeze(1)
        with torch.no_grad():
            logits, _ = model.model.eval()(ids, model.model.initial_state(1))
        return logits[:, 0].log_softmax(1)

    places = [0, *after.vocabulary.encode(np.array(before.vocabulary.symbols)).tolist()]
    added = [place for place in range(len(after.vocabulary)) if place not in places]
    assert len(added) > 10
    old, new = log_probabilities(before, LATIN[:200]), log_probabilities(after, LATIN[:200])
    expected = old + (1 - new[:, added].exp().sum(1)).log().unsqueeze(1)
    torch.testing.assert_close(new[:, places], expected, atol=1e-4, rtol=1e-4)

    train = "\n".join(lines)[: int(0.9 * len("\n".join(lines)))]
    frequencies = estimate_frequencies(after.vocabulary.encode_text(train), len(after.vocabulary))
    mass = log_probabilities(after, train)[:, added].exp().sum(1)
    assert float(mass.mean()) == pytest.approx(float(frequencies[added].sum()), abs=0.05)
    ratios = after.model.b_q.detach()[added] - frequencies[added].log()
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), atol=1e-4, rtol=0.0)


def test_an_unchanged_vocabulary() -> None:
    """A vocabulary that does not grow changes nothing."""
    vocabulary = Vocabulary((32, 97))
    before, after = (LanguageModel(ModelConfig(hidden_size=8), len(vocabulary)) for _ in range(2))
    before.initialize(torch.Generator().manual_seed(0))
    after.initialize(torch.Generator().manual_seed(1))
    rest = (torch.full((3,), 1 / 3), torch.zeros((4, 2), dtype=torch.int64), Processes())
    load_extended(after, before.state_dict(), vocabulary, vocabulary, *rest)
    weights = after.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in before.state_dict().items())


def test_infinite_states_spoil_no_biases() -> None:
    """States that are not finite do not spoil the biases."""
    old, new = Vocabulary((32, 97)), Vocabulary((32, 97, 98))
    config = ModelConfig(hidden_size=8, cell="rnn", nonlinearity="relu")
    before, after = LanguageModel(config, len(old)), LanguageModel(config, len(new))
    for model in (before, after):
        model.initialize(torch.Generator().manual_seed(0))
    weights = before.state_dict()
    weights["layers.0.W_hh"].fill_(1e30)  # the state is infinite after a few steps
    passages = torch.ones((40, 2), dtype=torch.int64)
    load_extended(after, weights, old, new, torch.full((4,), 0.25), passages, Processes())
    assert after.b_q.abs().max() < 1100


def test_extreme_log_odds_give_a_small_bias() -> None:
    log_odds = torch.tensor([-1e30, -1e30, 0.0, 0.0], dtype=torch.float64)
    assert abs(_shift(log_odds, 0.25)) < 1e-6


def test_a_text_that_is_mostly_unknown_is_refused(
    latin: Path, cyrillic: Path, tmp_path: Path
) -> None:
    """Else the model learns to predict "unknown", with a perplexity near 1."""
    start = f"--set=training.start_from={latin}"
    command = ["train", "quickstart", "--text", cyrillic, "--runs", tmp_path, *SMALL]
    refused(run(*command, start), "train split", "corpus.vocabulary=extend")
    ensemble = ("--set=ensemble.members=2", "--name=ensemble")
    refused(run(*command, start, *ensemble), "train split", "corpus.vocabulary=extend")
    assert not (tmp_path / "ensemble").exists()
    mixed = tmp_path / "mixed.txt"
    mixed.write_text(LATIN + CYRILLIC[: len(LATIN) // 9], "utf-8")
    command[3] = mixed
    refused(run(*command, start), "validation split", "corpus.vocabulary=extend")
    refused(run(*command, EXTEND), "training.start_from")
    command[3] = cyrillic
    refused(run(*command, "--set=corpus.minimum_count=200"), "lower corpus.minimum_count")


@pytest.mark.parametrize("extend", [False, True])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_unknown_held_out_file_is_refused(
    latin: Path, cyrillic: Path, tmp_path: Path, split: str, extend: bool
) -> None:
    """Else the best checkpoint is chosen, or the run scored, by a perplexity near 1.

    The remedy of the message works. A split that is a fraction of one text may have many characters
    of its own.
    """
    (text := tmp_path / "latin.txt").write_text(LATIN, "utf-8")
    command = [
        *quickstart_on(text, tmp_path),
        *SMALL,
        "--set=training.steps=1",
    ]
    separate = [f"--set=corpus.{split}_paths={cyrillic}"]
    if extend:
        separate += [EXTEND, f"--set=training.start_from={latin}"]
    refused(run(*command, *separate), f"{split} split", "--set corpus.vocabulary_from=all")
    assert run(*command, *separate, "--set=corpus.vocabulary_from=all").exit_code == 0
    text.write_text(LATIN + CYRILLIC[: len(LATIN) // 10], "utf-8")
    assert run(*command).exit_code == 0


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


def sentences(words: str) -> str:
    """Return random sentences of some words."""
    random = np.random.default_rng(0)
    chosen = random.choice(words.split(), (400, 6)).tolist()
    return "".join(f"{' '.join(line)}.\n".capitalize() for line in chosen)


def test_an_extended_model_learns_fast(tmp_path: Path) -> None:
    """An extended model learns about as fast as a new one.

    At first it is hardly worse than a uniform guess, and it keeps up with a new model.

    The texts share only spaces and full stops, so that there is little to gain: this shows that
    starting from another model loses next to nothing, early or late.
    """
    (base := tmp_path / "latin.txt").write_text(sentences(LATIN[:70]), "utf-8")
    (text := tmp_path / "cyrillic.txt").write_text(sentences(CYRILLIC[:61]), "utf-8")
    common = ["--set=training.learning_rate=0.02", "--set=training.warmup_steps=10"]
    common += ["--set=training.validate_every=null"]
    start = train(base, tmp_path, *common, "--name", "base", steps=100)
    extend = [EXTEND, f"--set=training.start_from={start}"]
    for steps in (25, 150):
        losses, scores = {}, {}
        for name, begin in {"extended": extend, "new": []}.items():
            names = ("--name", f"{name}-{steps}")
            folder = train(text, tmp_path, *common, *begin, *names, steps=steps)
            lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
            losses[name] = [line["loss"] for line in lines if "loss" in line]
            scores[name] = charlm.evaluate(charlm.load(folder)).nats_per_character
        size = len(charlm.load(folder).vocabulary)
        assert np.mean(losses["extended"][:3]) < math.log(size) + 0.5
        assert scores["extended"] < scores["new"] + 0.15


def test_an_extending_run_is_resumed_exactly(latin: Path, cyrillic: Path, tmp_path: Path) -> None:
    """A run that extends a vocabulary is resumed exactly."""
    settings = [setting.removeprefix("--set=") for setting in (*SMALL, EXTEND)]
    settings += [f"training.start_from={latin}", "training.steps=12", "training.save_every=5"]
    about: Any = {"text": cyrillic, "runs": tmp_path, "settings": settings}
    whole = charlm.train("quickstart", **about, name="whole").folder
    with pytest.raises(PowerLossError):
        charlm.train("quickstart", **about, name="broken", on_event=crash_at(8))
    broken = charlm.resume(tmp_path / "broken").folder
    assert_same_weights(broken.last, whole.last)
    assert_same_weights(broken.best, whole.best)


def test_a_score_names_unknown_characters(latin: Path, cyrillic: Path) -> None:
    """What the vocabulary does not hold is said with a score.

    A foreign text may be scored: bits per byte are fair, and the protocol states the method.
    """
    score = json.loads(run("eval", latin, "--text", cyrillic, "--json").stdout)
    assert score["unknown_characters"] > 0.7 * score["characters"]
    assert "outside the vocabulary" in score["protocol"]
    assert "bits per byte" in score["protocol"]
    own = json.loads(run("eval", latin, "--json").stdout)
    assert "outside the vocabulary" not in own["protocol"]


def test_bits_per_byte_beside_perplexity(
    tmp_path: Path,
) -> None:
    """Bits per byte stand beside perplexity where characters are unknown."""
    words = "".join(f"{number} rain\n" for number in range(400))
    (path := tmp_path / "text").write_text(words + "Ж".join(words[:300]), "utf-8")
    settings = ["--set=training.steps=3", "--set=corpus.split=[0.8,0.1,0.1]"]
    result = run("train", "quickstart", "--text", path, "--runs", tmp_path, *settings, *SMALL)
    assert result.exit_code == 0, result.output
    folder = Path(result.stdout.splitlines()[-1])
    assert "bits/byte" in result.stderr
    assert "test bits per byte" in result.stdout
    log = (folder / "metrics.jsonl").read_text().splitlines()
    (line,) = [line for line in map(json.loads, log) if "validation_loss" in line]
    assert line["validation_unknown_characters"] > 0
    assert line["validation_bits_per_byte"] > 0

    path.write_text(words)
    result = run("train", "quickstart", "--text", path, "--runs", tmp_path, *settings, *SMALL)
    assert "bits/byte" not in result.stderr
    assert "bits per byte" not in result.stdout


def test_a_teacher_of_fewer_characters_is_refused(
    latin: Path, cyrillic: Path, tmp_path: Path
) -> None:
    teachers = [f"--set=training.teachers={latin}", f"--set=training.start_from={latin}"]
    result = run(
        "train", "quickstart", "--text", cyrillic, "--runs", tmp_path, *SMALL, *teachers, EXTEND
    )
    refused(result, "training.teachers", "different vocabulary")
