"""`train` tells texts from configs, and chooses the settings for a text without a config."""

import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.commands import command, refused, run
from support.streams import Interrupting, charlm_with, stream, text_to
from support.texts import TEXT

from charlm.config.load import config_names, load_config
from charlm.training import auto
from charlm.training.inputs import DEFAULT_BUDGET, sort_inputs, with_limit

TEXTS = ("novel.txt", "My Novel.txt", "poems", "-", "more/*.txt", "~nobody.txt")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with texts and a config."""
    monkeypatch.chdir(tmp_path)
    for name in ("novel.txt", "My Novel.txt", "~nobody.txt", "poems/a.txt", "more/b.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(TEXT, "utf-8")
    Path("mine.yaml").write_text("model: {hidden_size: 8}\n", "utf-8")
    return tmp_path


@given(texts=st.lists(st.sampled_from(TEXTS), unique=True), data=st.data())
def test_texts_and_config_in_any_order(
    texts: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The config may stand anywhere among the texts, which keep their order."""
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        here.__wrapped__(folder, patch)  # type: ignore[attr-defined]
        for config in (None, "mine.yaml", *config_names()):
            words = [*texts]
            if config is not None:
                words.insert(data.draw(st.integers(0, len(texts))), config)
            assert sort_inputs(words) == (config, texts)


def test_positional_texts_equal_the_option(here: Path) -> None:
    """`train quickstart a b` is `train quickstart --text a --text b`."""
    shown = run("train", "novel.txt", "quickstart", "poems", "--print-config").stdout
    option = ["--text", "novel.txt", "poems"]
    assert run("train", "quickstart", *option, "--print-config").stdout == shown
    assert run("train", *option, "quickstart", "--print-config").stdout == shown
    paths = yaml.safe_load(shown)["corpus"]["paths"]
    assert paths == [str(here / "novel.txt"), str(here / "poems")]


def test_inputs_that_say_what_to_do(here: Path) -> None:
    """An argument that is both or neither is refused in one line with the remedy."""
    refused(run("train", "novl.txt"), "novl.txt: no file", "did you mean", "novel.txt?")
    refused(run("train", "quikstart"), "did you mean quickstart?")
    refused(run("train", "zzzzzz"), "no config", "the configs are", "textbook-random")
    refused(run("train", "zzzzzz.txt"), "check the path")
    refused(run("train", "faust"), "--set corpus.builtin=faust")
    refused(run("train", "quickstart", "mine.yaml"), "two configs", "--text")
    refused(run("train", "min.yaml"), "did you mean mine.yaml?")
    refused(run("train", "none/*.txt"), "no such file")
    Path("quickstart").touch()
    refused(run("train", "quickstart"), "both a shipped config and a path", "./quickstart")
    assert sort_inputs(["./quickstart"]) == (None, ["./quickstart"])
    Path("runs/novel/checkpoints").mkdir(parents=True)
    refused(run("train", "runs/novel"), "--resume runs/novel")
    Path("best.safetensors").touch()
    refused(run("train", "best.safetensors"), "--set training.start_from=best.safetensors")


@pytest.mark.parametrize("words", [["My", "Novel.txt"], ["quickstart", "My", "Novel.txt"]])
def test_name_with_spaces_needs_quotes(here: Path, words: list[str]) -> None:
    refused(run("train", *words), "in quotes: 'My Novel.txt'")


@given(st.dictionaries(st.sampled_from(["epochs", "steps"]), st.integers(1, 9)), st.booleans())
def test_own_limit_replaces_the_default(limits: dict[str, int], has_budget: bool) -> None:
    """A limit that the user sets holds; without one, training has the default budget."""
    settings = [f"training.{limit}={value}" for limit, value in limits.items()]
    settings += ["training.budget=9s"] * has_budget
    training = load_config("quickstart", with_limit(settings)).training
    assert (training.epochs, training.steps) == (limits.get("epochs"), limits.get("steps"))
    default = load_config("quickstart", [f"training.budget={DEFAULT_BUDGET}"]).training.budget
    assert training.budget == (9 if has_budget else None if limits else default)


def test_text_alone_lets_charlm_choose(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text without a config is trained as with `--auto`, and the first lines say so."""
    monkeypatch.setattr(auto, "EPOCH_LIMIT", 1.0)
    result = run("train", "novel.txt", "--set=ensemble.members=1", "--set=ensemble.student=0")
    assert result.exit_code == 0, result.output
    first, second, *_ = result.stderr.splitlines()
    for word in ("chooses", "novel.txt", "at most 5m", "--budget"):
        assert word in first
    assert "Ctrl-C" in second
    config = load_config("runs/novel-1/config.yaml")
    assert config.training.budget == 300
    assert config.training.optimizer == "adamw"
    assert config.ensemble.ngram_order is not None
    assert run("generate", "--length", 5).exit_code == 0


@pytest.mark.parametrize("limit", ["--epochs=2", "--steps=3"])
def test_chosen_model_keeps_the_limit(here: Path, limit: str) -> None:
    """charlm chooses for the limit that the user sets, and trains until it."""
    result = run("train", "novel.txt", limit)
    assert result.exit_code == 0, result.output
    assert "as set" in result.stderr
    config = load_config("runs/novel-1/config.yaml")
    option, _, value = limit.removeprefix("--").partition("=")
    assert getattr(config.training, option) == int(value)
    assert config.training.budget is None
    assert config.ensemble.size == 1


@pytest.mark.parametrize(
    "text", ["x" * 50, "To be, or not to be. " * 25, "Emma\nOlivia\nAva\n" * 40]
)
def test_small_texts_are_trained(here: Path, text: str) -> None:
    """50 or 500 characters and a list of names get a model that generates."""
    Path("small.txt").write_text(text, "utf-8")
    result = run("train", "small.txt", "--budget", "1s", "--quiet")
    assert result.exit_code == 0, result.output
    assert run("generate", "--length", 5, "--quiet").exit_code == 0


def test_existing_name_is_refused_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing run name is refused before the settings are chosen."""
    Path("runs/mine").mkdir(parents=True)
    monkeypatch.setattr(auto, "measured_speed", lambda *_: pytest.fail("it measured"))
    refused(run("train", "novel.txt", "--name", "mine"), "runs/mine: exists already")


def interrupted(arguments: list[str], moment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command, and press Ctrl-C when standard error shows a word."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    shown = ""
    while moment not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line
    process.send_signal(signal.SIGINT)
    stdout, rest = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, shown + rest)


def test_ctrl_c_before_training(here: Path) -> None:
    """Ctrl-C before training leaves nothing, and a line says that nothing was saved."""
    ended = interrupted(["train", "novel.txt"], "Ctrl-C")
    assert ended.returncode == 130
    assert "stopped before the first step; nothing was saved" in ended.stderr
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


@pytest.mark.parametrize("moment", ["(best)", "network 2", "building"])
def test_ctrl_c_leaves_a_model(here: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once training begins, Ctrl-C at any time leaves a model that generates."""
    messages = Interrupting(moment)
    arguments = ["train", "novel.txt", "--steps=20", "--set=ensemble.members=2"]
    arguments.append("--set=training.validate_every=5")
    with monkeypatch.context() as patch:
        assert charlm_with(patch, arguments, stream()[1], text_to(messages)) == 130
    assert "charlm train --resume runs/novel-1" in messages.held.decode()
    assert run("generate", "runs/novel-1", "--length", 5).exit_code == 0
