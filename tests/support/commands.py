"""Run the command line in a process of its own."""

import json
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from charlm.cli.main import app

SMALL = [
    "--set=model.hidden_size=16",
    "--set=batches.batch_size=4",
    "--set=batches.sequence_length=16",
    "--set=training.budget=null",
    "--set=training.log_every=1",
    "--set=training.precision=float32",
    "--set=training.report=false",
    "--set=training.validate_every=20",
    "--set=training.save_every=20",
    "--set=generation.length=20",
]


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def command(*arguments: object) -> list[str]:
    """Return the command line of a process of its own."""
    return [sys.executable, "-m", "charlm", *map(str, arguments)]


def quickstart_on(text: object, runs: object) -> list[str]:
    """Return the words of a command that trains the quickstart on a text."""
    return ["train", "quickstart", "--text", str(text), "--runs", str(runs)]


def train(text: Path, runs: Path, *arguments: object, steps: int = 4) -> Path:
    """Train a small model and return its folder."""
    result = run(
        *quickstart_on(text, runs),
        f"--set=training.steps={steps}",
        *SMALL,
        *arguments,
    )
    assert result.exit_code == 0, result.output
    return Path(result.stdout.splitlines()[-1])


def refused(result: Result, *words: str) -> None:
    """Assert that a command ended with one line on standard error that holds all words."""
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("charlm: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    assert result.stderr.splitlines()[-1] == lines[0]
    for word in words:
        assert word in lines[0]


def steps_logged(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    whole_lines = path.read_text("utf-8").rpartition("\n")[0]
    clock = ("seconds", "characters_per_second")
    records = [json.loads(line) for line in whole_lines.splitlines()]
    return [{k: v for k, v in record.items() if k not in clock} for record in records]
