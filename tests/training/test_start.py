"""`train` takes what the command takes: texts and a config in any order, short names of keys."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from support.training import TINY

import charlm
from charlm.cli.setting_options import SETTING_OPTIONS
from charlm.config.load import load_config
from charlm.config.schema import Config
from charlm.config.shortcuts import KEYS, Shortcuts, with_shortcuts
from charlm.errors import CharlmError, ConfigError
from charlm.training import auto
from charlm.training.events import Finished
from charlm.training.inputs import DEFAULT_BUDGET, Inputs

VALUES: dict[str, Any] = {
    "records": "csv",
    "column": "name",
    "budget": "1m30s",
    "epochs": 1.5,
    "steps": 3,
    "learning_rate": 0.1,
    "batch_size": 4,
    "sequence_length": 16,
    "seed": 7,
    "deterministic": True,
    "cell": "gru",
    "layers": 2,
    "hidden_size": 12,
    "dropout": 0.25,
}


@pytest.fixture
def here(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a text."""
    monkeypatch.chdir(text_file.parent)
    return text_file.parent


def train(*inputs: Any, **options: Any) -> Finished:
    return charlm.train(*inputs, settings=TINY, steps=2, **options)


def test_a_text_alone_lets_charlm_choose(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the command does, for a path by position or as `text`; nothing is printed."""
    monkeypatch.setattr(auto, "measured_speed", lambda *_: 1e4)
    for about in ({"inputs": ["text.txt"]}, {"inputs": [], "text": Path("text.txt")}):
        inputs: Any = about.pop("inputs")
        run = train(*inputs, **about).run
        assert run.config.ensemble.ngram_order is not None
        assert run.config.training.steps == 2
        assert run.path.name.startswith("text-")
    assert capfd.readouterr() == ("", "")


def test_a_config_decides_for_its_text(here: Path) -> None:
    """A name, a file or a `Config`, before or after the text; `auto=False` is the quickstart."""
    Path("mine.yaml").write_text("model: {hidden_size: 5}\n", "utf-8")
    mine: list[Any] = ["mine.yaml", Path("mine.yaml"), load_config("mine.yaml")]
    for config, size in ((mine[0], 5), (mine[1], 5), (mine[2], 5), ("quickstart", 256)):
        for words in (["text.txt", config], [config, Path("text.txt")]):
            resolved = Inputs.of(words).resolve()
            assert resolved.model.hidden_size == size
            assert resolved.corpus.paths == (str(here / "text.txt"),)
            assert not Inputs.of(words).is_chosen
    assert Inputs.of(["text.txt"], auto=False) == Inputs("quickstart", ("text.txt",), (), False)
    assert Inputs.of([]) == Inputs("quickstart", (), (), False)
    assert Inputs.of(["text.txt"]).resolve().training.budget == 300
    assert Inputs.of(["text.txt"]).settings == (f"training.budget={DEFAULT_BUDGET}",)


@pytest.mark.parametrize("inputs", [["quickstart", Config()], [Config(), Config()], [""]])
def test_two_configs_are_a_mistake(inputs: list[Any], here: Path) -> None:
    """So is an empty name, which would be the current folder."""
    with pytest.raises(CharlmError, match=r"two configs|is empty"):
        charlm.train(*inputs)


def test_short_names_are_settings(here: Path) -> None:
    """Each sets its key; together they are the options of the command, and are documented."""
    assert VALUES.keys() == KEYS.keys() == Shortcuts.__annotations__.keys()
    options = {
        name.removeprefix("--").replace("-", "_"): one for name, one in SETTING_OPTIONS.items()
    }
    assert {name: one.key for name, one in options.items()} == KEYS
    config = load_config("quickstart", with_shortcuts([], VALUES))  # type: ignore[arg-type]
    for name, key in KEYS.items():
        section, _, field = key.partition(".")
        value = getattr(getattr(config, section), field)
        assert value == (90 if name == "budget" else VALUES[name])
        assert f"`{name}`" in (inspect.getdoc(charlm.train) or "")
    assert with_shortcuts(["a.b=1"], {"seed": None}) == ["a.b=1"]
    assert load_config("quickstart", with_shortcuts([], {"budget": 300})).training.budget == 300


def test_a_key_is_set_once(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"seed= and the setting .* the same key"):
        charlm.train("quickstart", seed=1, settings=["training.seed=2"])


def test_resume_takes_short_names(here: Path) -> None:
    """A finished run is extended by the limit that it reached."""
    run = train("quickstart", "text.txt", seed=3).run
    assert run.config.training.seed == 3
    assert charlm.resume(run, steps=4).step == 4
