"""What a hostile file may cost: the memory of a process that does nothing but refuse it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEMORY = 64 << 20
"""Bytes that a process may take beyond those of its start."""
_REFUSE = """
import resource, sys
from pathlib import Path
from charlm.checkpoint import read_checkpoint
from charlm.config_file import load_config
from charlm.errors import CharlmError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        (load_config if path.suffix == ".yaml" else read_checkpoint)(path)
    except CharlmError:
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(path.name, (after - before) * (1 if sys.platform == "darwin" else 1024))
"""
_RUN = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
"""A small process in between: a child's peak on Linux begins with the memory of its parent."""
ABOUT = 9_390_000
"""Bytes of a header, a little less than the most that is read of one."""


def of_lists(size: int) -> str:
    return "[" + "[]," * (size // 3) + "[]]"


BOMBS: dict[str, Callable[[int], str]] = {
    "lists": of_lists,
    "sections": lambda size: of_lists(size).replace("[]", "{}"),
    "names": lambda size: "[" + ",".join(f'"{n:07}"' for n in range(size // 10)) + "]",
    "numbers": lambda size: "[" + "257," * (size // 4) + "0]",
    "zeros": lambda size: "[" + "0," * (size // 2) + "0]",
    "a name beyond ASCII": lambda size: '["\\ud83d\\ude00' + "x" * (size - 20) + '"]',
    "all code points": lambda _: json.dumps(
        {"sha256": "", "format_version": 1, "vocabulary": list(range(0x110000))}
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no module `resource`")
def test_a_large_hostile_file_is_refused_in_little_memory(tmp_path: Path) -> None:
    for name, bomb in BOMBS.items():
        (tmp_path / f"{name}.yaml").write_text(bomb(1_000_000)[: 1 << 20], "utf-8")
        (tmp_path / f"{name} in the header").write_bytes(with_size(bomb(ABOUT)))
        around = json.dumps({"__metadata__": {"charlm": bomb(ABOUT)}})
        (tmp_path / f"{name} in the metadata").write_bytes(with_size(around))
    done = subprocess.run(
        [sys.executable, "-c", _RUN, sys.executable, "-c", _REFUSE, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    refused = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(refused) == 3 * len(BOMBS)
    peaks = [f"{name}: {int(peak) >> 20} MB" for name, peak in refused.items()]
    assert max(map(int, refused.values())) < MEMORY, peaks


def with_size(header: str) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode()
