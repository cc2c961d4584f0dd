"""A `~` that no shell has expanded is the home folder, and never the name of a new folder."""

from pathlib import Path

import pytest
from support.commands import refused, run
from support.foreign_files import SMALL, TEXT, list_the_tale

from charlm.config.load import load_config, to_yaml
from charlm.config.schema import Config
from charlm.files.locations import cache_folder
from charlm.kernels import compiler
from charlm.prediction.predictor import load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a text; the current folder is another, and empty."""
    compiler.library()  # in the cache that all tests share
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (home / "text.txt").write_text(TEXT)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("CHARLM_CACHE", "~/cache")
    monkeypatch.chdir(here)
    return home


def test_every_path_may_begin_with_a_tilde(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path, of an option or in Python, may begin with `~` for the home folder."""
    list_the_tale(monkeypatch)
    (home / "own.yaml").write_text(to_yaml(Config()))
    runs, name = ("--runs", "~/runs"), ("--name", "x")
    steps = ("--set=training.steps=1", "--quiet")
    for arguments in (
        ["train", "~/own.yaml", "--text", "~/text.txt", *runs, *name, *SMALL, *steps],
        ["train", "--resume", "~/runs/x", "--set=training.steps=2", "--quiet"],
        ["eval", "~/runs/x", "--dynamic", "--save", "~/saved"],
        ["generate", *runs, "--prefix-file", "~/text.txt", "--length", "2", "--output=~/longer"],
        ["surprise", "~/runs/x", "~/text.txt", "--html=~/surprise.html"],
        ["data", "get", "tale", "--from", "~/text.txt"],
    ):
        result = run(*arguments)
        assert result.exit_code == 0, (arguments, result.output)
    assert load("~/saved").path == home / "saved"
    assert load(runs="~/runs").path == home / "runs" / "x" / "checkpoints" / "best.safetensors"
    assert load_config("~/own.yaml").model == Config().model
    assert cache_folder() == home / "cache"
    assert {path.name for path in home.iterdir()} == {
        *("text.txt", "own.yaml", "cache", "runs", "saved", "longer", "surprise.html")
    }
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("given", ["~no-user-of-this-name/cache", "~no-user-of-this-name"])
def test_missing_home_folder_is_refused(
    given: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path below the home folder of a user who does not exist is refused."""
    train = ["train", "quickstart", "--text", "~/text.txt", *SMALL, "--set=training.steps=1"]
    refused(run(*train, "--runs", given), "no home folder", "exists; give the full path", given)
    monkeypatch.setenv("CHARLM_CACHE", given)
    refused(run(*train), "no home folder", "exists; give the full path", given)
    assert list(Path().iterdir()) == []


def test_file_name_may_begin_with_a_tilde(home: Path) -> None:
    """An existing file may have a name that begins with a tilde."""
    Path("~draft").write_text("a prefix")
    result = run("generate", "no-such-run", "--prefix-file", "~draft")
    refused(result, "no-such-run")
