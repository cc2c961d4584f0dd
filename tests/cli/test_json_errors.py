"""Errors of commands with `--json`, for the program that reads them."""

import json
import sys
from pathlib import Path

import pytest
from support.commands import refused, run
from typer.main import get_command

from charlm.bench import benchmark
from charlm.bench.figures import Benchmark
from charlm.cli import streams
from charlm.cli.json_errors import asks_for_json
from charlm.cli.main import app
from charlm.runs import finding

COMMANDS = ("eval", "bench")


@pytest.mark.parametrize("command", COMMANDS)
def test_errors_are_json(command: str, tmp_path: Path) -> None:
    """With --json, an object is all of standard output; people still get their line."""
    missing = tmp_path / "no\nsuch☃"
    arguments = (command, "--json", *(["--text"] if command == "bench" else []), missing)
    result = run(*arguments)
    refused(result, "such☃")
    assert set(json.loads(result.stdout)) == {"error"}
    assert f"charlm: {json.loads(result.stdout)['error']}" == result.stderr.splitlines()[-1]
    assert run(*(one for one in arguments if one != "--json")).stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_errors_are_json(command: str) -> None:
    """A wrong option is named in the object, too; the exit code remains 2."""
    result = run(command, "--jsno", "--json")
    assert result.exit_code == 2
    assert "--jsno" in json.loads(result.stdout)["error"]
    assert run(command, "--jsno").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "is_json"),
    [
        ("eval --json", True),
        ("eval --dynamic --json", True),
        ("eval -q --json", True),
        ("eval --split test --json", True),
        ("eval --split=test --json", True),
        ("eval --text --json", False),
        ("eval --text --json --json", True),
        ("eval --text=--json", False),
        ("eval -- --json", False),
        ("eval --unknown --json", True),
        ("generate -p --json", False),
        ("generate --prefix --json", False),
        ("generate -qp --json", False),
        ("generate -n5 --json", True),
        ("generate -p5 --json", True),
        ("train --seed --json", False),
        ("bench --cells --json", True),
        ("evla --json", True),
        ("eval", False),
        ("", False),
    ],
)
def test_only_the_flag_asks_for_json(arguments: str, is_json: bool) -> None:
    """The value of an option is no flag, whatever it is."""
    assert asks_for_json(arguments.split(), get_command(app)) == is_json


def test_json_as_a_prefix_is_text(tmp_path: Path) -> None:
    result = run("generate", "--runs", tmp_path, "--prefix", "--json")
    refused(result, "contains no run")
    assert result.stdout == ""


@pytest.mark.parametrize("is_json", [True, False])
def test_lack_of_memory_is_json(
    is_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that ends the whole process is JSON, too."""

    def fail() -> None:
        raise MemoryError

    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setattr(sys, "argv", ["charlm", "eval", *(["--json"] if is_json else [])])
        assert streams.run(fail) == 1
    printed = (tmp_path / "out").read_text()
    assert "memory" in (tmp_path / "err").read_text()
    assert "memory" in json.loads(printed)["error"] if is_json else printed == ""


def test_bugs_are_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that no user can correct keeps its traceback."""

    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(finding, "checkpoint_of", fail)
    result = run("eval", "--json")
    assert isinstance(result.exception, ValueError)
    assert result.stdout == ""


def test_failed_check_has_its_results(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench --check --json` prints one object: the error and what was measured."""
    found = Benchmark({}, {}, {"config: generation": 0.9})
    monkeypatch.setattr(benchmark, "measure", lambda *arguments: found)
    saved = tmp_path / "before.json"
    saved.write_text(json.dumps({"ratios": {"config: generation": 9.0}}))
    result = run("bench", "--no-cells", "--text", text_file, "--check", saved, "--json")
    refused(result, "1 ratio fell")
    printed = json.loads(result.stdout)
    assert "1 ratio fell" in printed.pop("error")
    assert printed == found.to_json()
