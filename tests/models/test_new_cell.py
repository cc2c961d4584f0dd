"""The recipe for a new cell in `charlm/models/cells/README.md`, followed to the letter."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import SMALL, steps_logged

from charlm.models.cells import Cell

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "charlm" / "models" / "cells" / "README.md").read_text("utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL)
IMPORT = "from charlm.models.cells.minimal import MinimalGatedCell"
ENTRY = '"minimal": MinimalGatedCell'
NAME = '"minimal"'

RUN_COMMANDS = """
import json, sys
from typer.testing import CliRunner
from charlm.cli.main import app

for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    print(json.dumps(result.stdout))
"""


def edit(path: Path, before: str, after: str) -> None:
    """Replace a text that occurs once in a file."""
    source = path.read_text("utf-8")
    assert source.count(before) == 1, f"{before} in {path}"
    path.write_text(source.replace(before, after), "utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of charlm in which the recipe has been followed."""
    copy = tmp_path / "checkout"
    for name in ("charlm", "configs", "data"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    cells = copy / "charlm" / "models" / "cells"
    (cells / "minimal.py").write_text(CODE, "utf-8")
    table = "\n\nCELLS: dict[str, type[Cell]] = {\n"
    edit(cells / "__init__.py", table, f"\n{IMPORT}{table}    {ENTRY},\n")
    names = '    cell: Literal["rnn", '
    edit(copy / "charlm" / "config" / "sections" / "model.py", names, f"{names}{NAME}, ")
    return copy


def run_commands(checkout: Path, *commands: list[object]) -> list[str]:
    """Run commands of the copy in one process; return the output of each."""
    finished = subprocess.run(
        [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands, default=str)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=checkout.parent,
        env={**os.environ, "PYTHONPATH": str(checkout), "CHARLM_KERNELS": "off"},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_the_recipe_makes_a_new_cell(checkout: Path, text_file: Path, tmp_path: Path) -> None:
    """charlm trains the cell, resumes it exactly, scores with it and generates."""
    steady = ["--set=training.schedule=constant", "--set=training.warmup_steps=0"]
    settings = [*SMALL, "--set=model.cell=minimal", *steady]
    train = ["train", "quickstart", "--text", text_file, "--runs", tmp_path, *settings]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    *_, score, generated = run_commands(
        checkout,
        [*train, "--name", "whole", "--set=training.steps=9"],
        [*train, "--name", "stopped", "--set=training.steps=4"],
        ["train", "--resume", stopped, "--set=training.steps=9"],
        ["eval", stopped, "--json"],
        ["generate", stopped, "--prefix", "The ", "--length", "9"],
    )
    assert "cell: minimal" in (stopped / "config.yaml").read_text("utf-8")
    resumed = [line["loss"] for line in steps_logged(stopped) if "loss" in line]
    assert resumed == [line["loss"] for line in steps_logged(whole) if "loss" in line]
    assert len(resumed) == 9
    assert resumed[-1] < resumed[0]
    assert json.loads(score)["perplexity"] > 1
    assert generated.startswith("The ")
    assert len(generated) >= len("The ") + 9


def test_the_recipe_is_short() -> None:
    """The cell's code and its registration take at most 15 lines."""
    lines = [line for line in CODE.splitlines() if line.strip()]
    assert len([*lines, IMPORT, ENTRY, NAME]) <= 15
    assert ENTRY in RECIPE
    assert NAME in RECIPE


def test_a_cell_without_a_kernel(random: torch.Generator) -> None:
    """A cell with an equation only is run by it, and by no kernel."""
    namespace: dict[str, Any] = {}
    exec(CODE, namespace)
    cell: Cell = namespace["MinimalGatedCell"](5, 8)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, generator=random)
    assert not cell.is_compiled()
    X, state = torch.randn(4, 3, 5, generator=random), cell.initial_state(3)
    outputs, last = cell(X, state)
    expected, expected_last = cell.equations(X, state)
    assert torch.equal(outputs, expected)
    assert torch.equal(last[0], expected_last[0])
