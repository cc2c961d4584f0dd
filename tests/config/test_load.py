"""Laws of loading: which of several settings holds, and what paths are relative to."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.configs import load_text, write

from charlm.config.load import load_config, make_config, override
from charlm.config.schema import Config, TrainingConfig


def test_last_setting_wins(tmp_path: Path) -> None:
    """Settings replace values of the file, and later ones replace earlier ones."""
    text = "model: {cell: gru, hidden_size: 7}\ntraining: {epochs: 3}\n"
    config = load_text(
        tmp_path, text, "model.hidden_size=8", "model.hidden_size=9", "training.epochs=null",
        "training.steps=5", " batches.batch_size = 2 ", "generation.prefix=a=b",
    )  # fmt: skip
    assert (config.model.cell, config.model.hidden_size) == ("gru", 9)
    assert (config.training.epochs, config.training.steps) == (None, 5)
    assert config.batches.batch_size == 2
    assert config.generation.prefix == "a=b"


def test_override_changes_only_set_keys() -> None:
    """`override` changes only the keys that are set."""
    before = load_config("textbook-random")
    after = override(before, ["training.seed=7", "corpus.minimum_count=2"])
    assert after.training.seed == 7
    assert after.corpus.minimum_count == 2
    undone = override(after, ["training.seed=0", "corpus.minimum_count=1"])
    assert undone == before
    assert override(before, []) == before


def test_ten_epochs_without_a_limit() -> None:
    """Without a limit, training takes ten epochs; any limit is valid alone."""
    assert Config().training.epochs == 10
    assert make_config({"training": {"steps": 5}}, "a test").training.epochs is None
    assert override(Config(), ["training.epochs=null"]).training.epochs == 10


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().model.cell = "gru"


def test_paths_are_relative_to_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths in a file are relative to its folder, in settings to the current one."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = """
        corpus:
          paths: [one.txt, sub/*.txt, ../up.txt, -]
          validation_paths: two.txt
          test_paths: [three.txt]
    """
    write(tmp_path / "configs", text)
    for source in (Path("../configs/run.yaml"), tmp_path / "configs" / "run.yaml"):
        corpus = load_config(source, ["corpus.test_paths=[four.txt, -]"]).corpus
        folder = (tmp_path / "configs").resolve()
        expected = [folder / "one.txt", folder / "sub" / "*.txt", folder / ".." / "up.txt"]
        assert corpus.paths == (*map(str, expected), "-")
        assert corpus.validation_paths == (str(folder / "two.txt"),)
        assert corpus.test_paths == (str(Path.cwd() / "four.txt"), "-")


def test_absolute_and_home_paths_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute paths stay as they are, and ~ becomes the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    absolute = str(tmp_path / "text.txt")
    (tmp_path / "sub").mkdir()
    text = f"corpus: {{paths: ['{absolute}', ~/mine.txt]}}"
    expected = (absolute, str(tmp_path / "home" / "mine.txt"))
    assert load_text(tmp_path / "sub", text).corpus.paths == expected
    given_on_the_command_line = override(Config(), [f"corpus.validation_paths=['{absolute}']"])
    assert given_on_the_command_line.corpus.validation_paths == (absolute,)


def test_text_replaces_that_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`text` replaces the text that the config names."""
    monkeypatch.chdir(tmp_path)
    for given_text in ("a.txt", Path("a.txt"), ["a.txt"], (Path("a.txt"),)):
        corpus = load_config("quickstart", text=given_text).corpus
        assert (corpus.paths, corpus.builtin) == ((str(tmp_path / "a.txt"),), None)
    several = load_config("quickstart", text=["-", "b/*.txt"])
    assert several.corpus.paths == ("-", str(tmp_path / "b" / "*.txt"))
    assert override(several, [], ()) == several


@pytest.mark.skipif(not hasattr(Path, "owner"), reason="no users here")
def test_unknown_home_is_kept_as_typed(tmp_path: Path) -> None:
    """The home folder of an unknown user stays as typed."""
    nobody = "~no-user-of-this-name/text.txt"
    config = load_text(tmp_path, f"corpus: {{paths: {nobody}}}")
    assert config.corpus.paths == (str(tmp_path / nobody),)
    assert override(Config(), [], nobody).corpus.paths == (str(Path.cwd() / nobody),)


def test_replace_changes_named_keys_only() -> None:
    """A mapping changes keys of a section; a section takes the place of another."""
    config = Config(training=TrainingConfig(epochs=None, steps=7, seed=3))
    model = config.model.replace(hidden_size=8)
    changed = config.replace(training={"steps": 9}, model=model)
    assert changed.training == config.training.replace(steps=9)
    assert (changed.training.seed, changed.model, changed.corpus) == (3, model, config.corpus)
    assert config.training.steps == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": 0}},
        {"model": {"tie_weights": True}},
        {"corpus": {"vocabulary": "extend"}},
        {"corpus": 1},
    ],
)
def test_replace_validates(changes: dict[str, Any]) -> None:
    """Wrong values and contradictions raise the error of a new config."""
    with pytest.raises(ValidationError):
        Config().replace(**changes)
