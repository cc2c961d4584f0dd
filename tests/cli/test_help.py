"""The help, short options, completion, and errors of unknown options."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from support.commands import SMALL, refused, run
from typer.testing import CliRunner

from charlm.cli.arguments import SHORT_OPTIONS
from charlm.cli.main import COMMANDS, app
from charlm.cli.setting_options import SETTING_OPTIONS
from charlm.config.load import config_keys, config_names

VALUES = {
    "--records": "csv",
    "--column": "name",
    "--budget": "9s",
    "--epochs": "2.5",
    "--steps": "3",
    "--learning-rate": "1e-3",
    "--batch-size": "4",
    "--sequence-length": "5",
    "--seed": "7",
    "--cell": "gru",
    "--layers": "2",
    "--hidden-size": "33",
    "--dropout": "0.25",
}


@pytest.mark.parametrize("option", SETTING_OPTIONS)
def test_option_equals_its_setting(option: str) -> None:
    """An option that sets a key does exactly what `--set` does, and excludes it."""
    key, show = SETTING_OPTIONS[option].key, ["train", "--print-config"]
    together = {"--records": "corpus.column=name", "--column": "corpus.records=csv"}
    show += [f"--set={together[option]}"] if option in together else []
    value = VALUES.get(option)
    words = [option] if value is None else [option, value]
    setting = f"--set={key}={'true' if value is None else value}"
    shown = run(*show, *words)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == run(*show, setting).stdout != run(*show).stdout
    refused(run(*show, *words, setting), f"{option} and --set {key} set the same key")


def test_bare_command_prints_its_help() -> None:
    """`charlm` and `charlm data` print their help and succeed."""
    for words in ([], ["data"]):
        alone = run(*words)
        assert (alone.exit_code, alone.stderr) == (0, "")
        assert alone.stdout == run(*words, "--help").stdout == run(*words, "-h").stdout


@pytest.mark.parametrize("name", [*COMMANDS, "data check", "data get"])
def test_help_fits_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help has 80 columns, no types of Python, and examples."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(*name.split(), "--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for noise in ("<bool>", "<list", "<str>", "<int>", "<float>", "default: auto", "[["):
        assert noise not in shown
    paragraphs = shown.partition("╭")[0].split("\n \n")
    for paragraph in paragraphs:  # a line ends where the next word does not fit
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        for line, following in itertools.pairwise(lines):
            assert not (line and following) or len(line) + len(following.split()[0]) >= 76
    for example in COMMANDS[name][1] if name in COMMANDS else ():
        assert example in shown
    words = " ".join(shown.replace("│", " ").split())
    assert ("only the run folder" in words) == (name == "train") and "(train:" not in shown
    if name == "train":
        panels = re.findall(r"╭─ ([\w ]+?) ─", shown)
        assert panels[:4] == ["Arguments", "Text", "Model", "Training"]
        assert panels[-1] == "Other"


@pytest.mark.parametrize("example", [line for _, lines in COMMANDS.values() for line in lines])
def test_examples_use_what_exists(example: str) -> None:
    """An example has only options that exist."""
    assert run(*shlex.split(example)[1:], "--help").exit_code == 0


def test_short_options_are_the_long_ones() -> None:
    """Each short option is that of a command, and stands for the long one."""
    group: Any = typer.main.get_command(app)
    for short, long in SHORT_OPTIONS.items():
        found = [
            parameter.opts
            for command in group.commands.values()
            for parameter in command.params
            if {short, long} & {*parameter.opts}
        ]
        assert found
        assert all({short, long} <= {*opts} for opts in found)


def test_short_option_in_errors(text_file: Path, tmp_path: Path) -> None:
    """The error of a short option names the long one, and only a prefix may be empty."""
    made = run("train", "quickstart", text_file, "--runs", tmp_path, *SMALL, "--steps=2", "-q")
    folder = made.stdout.strip()
    assert run("generate", folder, "-p", "", "-n", "5", "-t", "0.5", "-q").exit_code == 0
    refused(run("generate", folder, "-t", "-1"), "--temperature is -1")
    refused(run("generate", folder, "-n", ""), "the value of -n is empty")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train --hidden 64", "--hidden-size 64 or --set model.hidden_size=64"),
        ("train --lr=1e-3", "--learning-rate 1e-3 or --set training.learning_rate=1e-3"),
        ("train --num-layers 2", "--layers 2 or --set model.num_layers=2"),
        ("train --momentum 0.5", "--set training.momentum=0.5"),
        ("train --dropuot", "--dropout … or --set model.dropout=…"),
        ("bench --hidden-size 3", "--set model.hidden_size=3"),
        ("generate --len 4", "use --length"),
        ("eval --jsno", "use --json"),
        ("generate --zzzz", "charlm generate --help"),
        ("--versoin", "use --version"),
    ],
)
def test_unknown_option_names_the_meant_one(words: str, meant: str) -> None:
    """An unknown option is one line, which names the option or the setting that is meant."""
    result = run(*words.split())
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("charlm: --")
    assert line.endswith(meant) or f"`{meant}`" in line


def test_text_in_place_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my novel.txt").touch()
    refused(run("my novel.txt"), "`charlm train 'my novel.txt'`")


# Completion

COMPLETE = """
import json, os, sys
from charlm.cli.main import app

os.environ["_CHARLM_COMPLETE"] = "complete_bash"
for words in json.loads(sys.argv[1]):
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = " ".join(words), str(len(words) - 1)
    try:
        app(prog_name="charlm")
    except SystemExit:
        print("--", "torch" in sys.modules)
"""


def test_completion_needs_no_torch(tmp_path: Path) -> None:
    """Runs, configs, texts and keys are completed, also from unfinished command lines."""
    (tmp_path / "novel.txt").touch()
    (tmp_path / "runs/novel-1/checkpoints").mkdir(parents=True)
    lines = {
        ("charlm", "generate", ""): ["runs/novel-1"],
        ("charlm", "eval", "runs/novel-1", "runs/n"): ["runs/novel-1"],
        ("charlm", "train", "--resume", "ru"): ["runs/novel-1"],
        ("charlm", "train", "textbook-s"): ["textbook-sequential"],
        ("charlm", "train", ""): [*config_names(), "novel.txt", "runs/"],
        ("charlm", "train", "novel.txt", "--set", "model.hid"): ["model.hidden_size="],
        ("charlm", "train", "--set", ""): [f"{key}=" for key in config_keys()],
        ("charlm", "gen"): ["generate"],
        ("charlm", "train", "--text=", "no"): ["novel.txt"],
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE, json.dumps([*lines])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    expected = "".join(f"{chr(10).join(found)}\n-- False\n" for found in lines.values())
    assert done.stdout == expected


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
