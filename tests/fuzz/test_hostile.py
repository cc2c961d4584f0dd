"""Hostile input: it works or is refused in one line; and nothing else ever comes of it.

The short form runs with all tests. The long form, `pytest -m long tests/fuzz -s`, tries as many
inputs as `CHARLM_FUZZ_INPUTS` says, and prints how many it tried.
"""

import ctypes
import gc
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import law
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from law import HangError, lawful
from targets import FOLDER, Targets

from charlm.kernels import compiler

TRIED: Counter[str] = Counter()
"""How many inputs each target was given."""


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Targets]:
    compiler.library()  # in the cache that all tests share
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / FOLDER / "cache"))
    (tmp_path / FOLDER).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / FOLDER)
    yield Targets(tmp_path)


NAMES = [name for name in dir(Targets) if name.startswith("try_")]


def attempts(targets: Targets, name: str, inputs: int, start: int) -> Any:
    """Return a test of hypothesis that tries a number of inputs on a target."""

    @seed(start)
    @given(st.data())
    @settings(
        max_examples=inputs, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def attempt(data: st.DataObject) -> None:
        getattr(targets, name)(data)
        TRIED[name] += 1  # now: a draw that came to nothing was no input
        assert targets.written_by_nobody() == targets.before

    return attempt


def try_out(targets: Targets, name: str, inputs: int, start: int = 0) -> None:
    attempts(targets, name, inputs, start)()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such timer")
def test_what_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(law, "MOST_SECONDS", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(HangError):
        lawful(lambda: time.sleep(60))
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_works_or_is_refused(name: str, targets: Targets) -> None:
    """Hostile input works or is refused in one line, in little time and memory."""
    try_out(targets, name, 25)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_at_length(name: str, targets: Targets) -> None:
    inputs = int(os.environ.get("CHARLM_FUZZ_INPUTS", "110000")) // len(NAMES)
    try_out(targets, name, 100, start=-1)  # what is loaded once
    grown = 0
    for start in range(0, inputs, 250):  # few: hypothesis remembers them, and that is counted, too
        forget_the_most()
        before = most_memory()
        try_out(targets, name, min(250, inputs - start), start)
        grown = max(grown, most_memory() - before)
    total = TRIED.total()
    print(f"\n{name}: {TRIED[name]:,} inputs, {total:,} in all; {grown} MB more at the peak")
    assert grown < 64


def forget_the_most() -> None:
    """Let the peak be what is resident now, so that no target hides behind an earlier one."""
    if sys.platform != "linux":
        return
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # charlm has glibc keep what is freed
        libc.malloc_trim(0)
    with suppress(OSError):  # of a kernel without it
        Path("/proc/self/clear_refs").write_text("5")


def most_memory() -> int:
    """Return the most megabytes that were resident at once so far."""
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) >> 10
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> (20 if sys.platform == "darwin" else 10)
