"""Training beside a busy process: both precisions, and nothing stays running."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from charlm.bench import busy
from charlm.cli.main import app
from charlm.kernels import compiler

SMALL = ["--seconds=0.001", "--set=model.hidden_size=8", "--set=batches.batch_size=2"]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of POSIX shows that it has ended")
def test_busy_training_is_measured(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share that is kept is the quotient of both rates, and the busy process ends."""
    started: list[Any] = []

    class Process(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(busy, "_NUM_TURNS", 1)
    threads = torch.get_num_threads()
    arguments = ["bench", "--busy", "--text", str(text_file), *SMALL]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    precisions = ["float32"] if compiler.library() is None else ["float32", "bfloat16"]
    assert [rates["precision"] for rates in found] == precisions
    for rates in found:
        assert rates["kept"] == pytest.approx(rates["busy"] / rates["quiet"])
    busy_ones = [process for process in started if "while True: pass" in process.args]
    assert len(busy_ones) == len(precisions)
    for process in busy_ones:
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)
    table = CliRunner().invoke(app, arguments)
    assert all(precision in table.output for precision in precisions)
    assert "kept" in table.output
    assert torch.get_num_threads() == threads
