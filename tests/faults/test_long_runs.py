"""What only time and size show: memory that creeps up, files that stay open, steps that slow down.

`pytest -m long tests/faults/test_long_runs.py -s` trains for `CHARLM_SOAK_MINUTES` (30), builds a
corpus of `CHARLM_CORPUS_GB` (2), and prints what it saw. What takes time is not asserted but shown:
machines are shared. The short form watches memory and files alone, for some hundred steps.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.commands import command
from support.texts import TEXT

from charlm.corpus.catalogue import files_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into Linux' /proc")

MEMORY = 1.02
"""What resident memory may grow to after the warm-up, as a share of what it was then."""


class Look(NamedTuple):
    """What a process held at a moment."""

    resident: int
    """Bytes of memory."""
    files: int


def looks(process: subprocess.Popen[bytes], every: float) -> Iterator[Look]:
    """Look at a process until it ends."""
    folder = Path(f"/proc/{process.pid}")
    while process.poll() is None:
        try:
            resident = re.search(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text())
            files = len(list((folder / "fd").iterdir()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has just ended
            continue
        if resident is not None:
            yield Look(1024 * int(resident[1]), files)
        time.sleep(every)


def soak(folder: Path, every: float, *settings: str) -> list[Look]:
    """Train, and look every so many seconds; return the measurements taken during the steps."""
    sets = [f"--set={setting}" for setting in settings]
    arguments = ["train", "--quiet", "--runs", folder, "--name", "soak"]
    with subprocess.Popen(command(*arguments, *sets), stdout=subprocess.DEVNULL) as process:
        metrics = folder / "soak" / "metrics.jsonl"
        seen = [look for look in looks(process, every) if metrics.exists()]
    assert process.returncode == 0
    return seen


def check_flat(seen: list[Look], warm_up: float) -> str:
    """Hold what was seen after a share of the time to what was seen at its end."""
    later = seen[round(warm_up * len(seen)) :]
    assert len(later) > 5
    third = len(later) // 3
    first, last = (
        statistics.median(look.resident for look in part)
        for part in (later[:third], later[-third:])
    )
    assert last <= MEMORY * first
    # Files that are being written are open for a moment; those of a leak stay open.
    before, after = ([look.files for look in part] for part in (later[:third], later[-third:]))
    assert min(after) <= min(before)
    assert statistics.median(after) <= max(before) + 1
    return (
        f"resident memory {first / 1e6:.1f} MB after the warm-up, {last / 1e6:.1f} MB at the end; "
        f"open files {min(later, key=lambda look: look.files).files} to "
        f"{max(later, key=lambda look: look.files).files}"
    )


def test_memory_and_open_files_stay_flat(tmp_path: Path) -> None:
    """A long run does not need more and more memory or open files."""
    settings = ["model.hidden_size=32", "training.validate_every=50", "training.save_every=10"]
    settings += ["training.log_every=1", "training.budget=null", "training.steps=1000"]
    settings += ["training.report=false", f"corpus.paths={tmp_path / 'text.txt'}"]
    (tmp_path / "text.txt").write_text(TEXT * 30, "utf-8")  # whose validations are short
    check_flat(soak(tmp_path, 0.02, *settings), warm_up=0.6)


@pytest.mark.long
def test_half_an_hour_of_training_is_flat(tmp_path: Path) -> None:
    minutes = float(os.environ.get("CHARLM_SOAK_MINUTES", "30"))
    budget = f"training.budget={60 * minutes}"
    seen = soak(tmp_path, 1.0, budget, "training.validate_every=200")
    held = check_flat(seen, warm_up=0.1)
    metrics = (tmp_path / "soak" / "metrics.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in metrics.splitlines()]
    speeds = [line["characters_per_second"] for line in lines if "characters_per_second" in line]
    tenths = [
        statistics.median(speeds[len(speeds) * i // 10 : len(speeds) * (i + 1) // 10])
        for i in range(10)
    ]
    print(f"\n{minutes:g} minutes: {held}")
    print("characters a second, by tenths:", ", ".join(f"{speed:,.0f}" for speed in tenths))


def write_large_text(path: Path, size: int) -> None:
    """Repeat a real text, perturbed: every copy has words in other places and odd characters."""
    chance = random.Random(0)
    text = files_of("python-docs")[0].read_text("utf-8")
    paragraphs = text.split("\n\n")
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            chance.shuffle(paragraphs)
            odd = chr(chance.choice([0xE9, 0x4E2D, 0x1F600, 0x416]))
            file.write("\n\n".join(paragraphs).replace(chance.choice("etaoin") + " ", odd + " "))


def peak_of(code: str, *arguments: object) -> tuple[int, float, float]:
    """Run Python code; return its peak of resident bytes, its seconds, and those that it prints."""
    ending = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ending}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, peak = done.stdout.split()[-2:]
    return 1024 * int(peak), time.perf_counter() - start, float(seconds)


BUILD = """
import sys, time
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
start = time.perf_counter()
corpus = build_corpus(CorpusConfig(paths=(sys.argv[1],)))
assert len(corpus.splits["train"]) > 1e6
print(time.perf_counter() - start)
"""


@pytest.mark.long
def test_gigabytes_take_little_memory(tmp_path: Path) -> None:
    """A corpus of gigabytes is built and opened again in little memory."""
    gigabytes = float(os.environ.get("CHARLM_CORPUS_GB", "2"))
    path = tmp_path / "large.txt"
    write_large_text(path, round(gigabytes * 1e9))
    time.sleep(3)  # a file that was just written is not yet remembered by its times
    first, again = peak_of(BUILD, path), peak_of(BUILD, path)
    print(f"\n{path.stat().st_size / 1e9:.2f} GB: {first[2]:.1f} s, peak {first[0] / 1e6:.0f} MB;")
    print(f"again: {again[2]:.3f} s in the corpus, {again[1]:.1f} s the whole process")
    assert first[0] < 400e6
    assert again[0] < 400e6
