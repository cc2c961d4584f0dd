"""The names of runs, from their text or config."""

import os
import re
import string
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import any_text
from support.training import train

from charlm.config.load import load_config
from charlm.config.schema import Config
from charlm.runs.creation import create_run_folder
from charlm.runs.names import name_from_text
from charlm.training.inputs import Inputs


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("novel.txt", "novel"),
        ("books/novel.txt.gz", "novel"),
        ("novel", "novel"),
        ("my first novel.txt", "my-first-novel"),
        ("红楼梦.txt", "红楼梦"),
        ("हिन्दी.txt", "हिन्दी"),
        (".hidden.txt", "hidden"),
        (".txt", "txt"),
        ("--force.txt", "force"),
        ("-", "stdin"),
        ("config", "config"),
        ("notes-1.txt", "notes-1"),
        ("v1.2 of 2024.12.txt", "v1.2-of-2024.12"),
        ("$HOME `rm` 'x'.txt", "HOME-rm-x"),
        ("a\nb\x1b(1m.txt", "a-b-1m"),
        ("☃.txt", "text"),
        ("x" * 200 + ".txt", "x" * 60),
        ("books/*.txt", "books"),
        ("books/**/*.md", "books"),
        ("~", Path.home().name),
    ],
)
def test_name_of_a_text(
    path: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_from_text([path]) == name


def test_name_of_folders_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder has its whole name; the first of several texts decides; `*` is the folder here."""
    folder = tmp_path / "notes.2024"
    folder.mkdir()
    (folder / "star*.txt").write_text("a")
    monkeypatch.chdir(folder)
    assert name_from_text([folder]) == "notes.2024"
    assert name_from_text([f"{folder}/"]) == "notes.2024"
    assert name_from_text(["."]) == "notes.2024"
    assert name_from_text(["*.txt"]) == "notes.2024"
    assert name_from_text(["star*.txt"]) == "star"
    assert name_from_text(["b.txt", "a.txt"]) == "b"


@given(any_text | st.text(string.punctuation + " ", max_size=300))
def test_names_are_sound(path: str) -> None:
    """Whatever the path: letters, digits, marks and `._-`, of which none comes first."""
    name = name_from_text([path])
    assert 0 < len(os.fsencode(f"{name}-{10**9}")) <= 255
    assert name[0].isalnum()
    for character in re.sub("[._-]", "", name):
        assert character.isalnum() or unicodedata.category(character)[0] == "M"


def test_runs_are_numbered_under_their_text(text_file: Path, tmp_path: Path) -> None:
    """A text names the run; without one the config does, and `--auto` its own choice."""
    runs = tmp_path / "runs"
    folders = [train(text_file, runs, "training.steps=1").path for _ in range(2)]
    assert folders == [runs / "text-1", runs / "text-2"]
    assert train(text_file, runs, "training.steps=1", name="mine").path == runs / "mine"
    for config, texts, is_chosen, stem in (
        ("textbook-random", (), False, "textbook-random"),
        ("configs/my.yaml", (), False, "my"),
        ("quickstart", (), True, "auto"),
        ("quickstart", ("novel.txt",), True, "novel"),
        (load_config(), ("novel.txt",), False, "novel"),
        (load_config(), (), False, "run"),
    ):
        assert Inputs(config, texts, (), is_chosen).stem == stem


def test_no_two_runs_share_a_name(tmp_path: Path) -> None:
    """Runs that are created at the same time have different folders."""
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(create_run_folder, tmp_path, None, "novel", Config()) for _ in range(24)
        ]
    names = {job.result().path.name for job in jobs}
    assert names == {f"novel-{number}" for number in range(1, 25)}
