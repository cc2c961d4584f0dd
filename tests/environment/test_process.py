"""The process that charlm runs in: a library leaves it as it found it."""

from pathlib import Path

import pytest
import torch
from support.processes import python
from support.training import train

import charlm
from charlm.training.events import Event, Stepped

SCRIPT = """
import locale, logging, os, signal, sys, threading, warnings
import torch

torch.set_num_threads(2)
weight = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.AdamW([weight])  # for which torch loads more of itself
optimizer.zero_grad()
weight.sum().backward()
optimizer.step()

def facts():
    return {
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "random": torch.random.get_rng_state().tolist(),
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "streams": (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.getrecursionlimit()),
        "numbers": (torch.get_default_dtype(), torch.is_grad_enabled()),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        "running": threading.active_count(),
    }

def check(what):
    changed = {name: value for name, value in facts().items() if value != before[name]}
    assert not changed, (what, changed)

before = facts()
import charlm
check("import charlm")
small = ["model.hidden_size=8", "training.steps=3", "generation.length=5"]
small += ["training.threads=1", "training.deterministic=true", "training.device=cpu"]
charlm.train("quickstart", text="text", name="run", settings=small)
check("train")
def fail(event):
    raise ZeroDivisionError
try:
    charlm.resume("runs/run", settings=["training.steps=5"], on_event=fail)
except ZeroDivisionError:
    pass
check("resume")
model = charlm.load("runs/run")
check("load")
charlm.evaluate(model)
check("evaluate")
"".join(charlm.generate(model, length=5))
check("generate")
print("unchanged")
"""
SPEED = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "THP_MEM_ALLOC_ENABLE", "KINETO_LOG_LEVEL"}


def test_using_charlm_changes_no_process(text_file: Path, tmp_path: Path) -> None:
    """A program that uses charlm finds its process unchanged.

    Environment, signals, threads, random state, folder, locale, warnings, logs, streams.
    """
    text_file.rename(tmp_path / "text")
    assert python(SCRIPT, tmp_path) == "unchanged"


def test_commands_and_prepare_set_the_speed(tmp_path: Path) -> None:
    """The command line and `prepare` set the environment before torch loads; an import does not."""
    show = "import os, sys; print(*os.environ); print('torch' in sys.modules)"
    names, torch_is_loaded = python(f"import charlm; {show}", tmp_path).splitlines()
    assert not SPEED & set(names.split())
    names, torch_is_loaded = python(f"import charlm; charlm.prepare(); {show}", tmp_path).split(
        "\n"
    )
    assert set(names.split()) >= SPEED and torch_is_loaded == "False"
    of_command = f"import charlm.cli.main as c; c.app = lambda **_: exec({show!r}); c.main()"
    names, torch_is_loaded = python(of_command, tmp_path).splitlines()
    assert set(names.split()) >= SPEED and torch_is_loaded == "False"
    of_module = (
        f"import runpy, charlm.cli.main as c; c.app = lambda **_: exec({show!r}); "
        "runpy.run_module('charlm', run_name='__main__')"
    )
    assert set(python(of_module, tmp_path).split()) >= SPEED


@pytest.mark.parametrize("ends", [True, False])
def test_training_restores_the_threads(ends: bool, text_file: Path, tmp_path: Path) -> None:
    """Training restores the number of threads, also after an exception."""
    seen = []

    def observe(event: Event) -> None:
        if isinstance(event, Stepped):
            seen.append(torch.get_num_threads())
            if not ends:
                raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    settings = ("training.steps=2", "training.threads=1")
    try:
        if ends:
            train(text_file, tmp_path, *settings, name="run", on_event=observe)
            charlm.resume(tmp_path / "run", settings=["training.steps=3"], on_event=observe)
        else:
            with pytest.raises(ZeroDivisionError):
                train(text_file, tmp_path, *settings, name="run", on_event=observe)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
