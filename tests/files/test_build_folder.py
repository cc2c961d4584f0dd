"""What a build leaves in the cache, however it ends."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.files import build_folder
from charlm.files.atomic import write_whole
from charlm.files.build_folder import RESERVED, building_folder, built_in

_BUILD = """
import sys
from pathlib import Path
from charlm.files.build_folder import building_folder
with building_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half of it")
    print(folder, flush=True)
    input()
"""

_BUILD_AT_ONCE = """
import hashlib, sys, time
from pathlib import Path
from charlm.corpus import builder
from charlm.config.schema import CorpusConfig

meeting, text, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
read_symbols = builder.read_symbols

def read_together(*arguments, **options):
    (meeting / name).touch()
    deadline = time.monotonic() + 60
    while len(list(meeting.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return read_symbols(*arguments, **options)

builder.read_symbols = read_together
built = builder.build_corpus(CorpusConfig(paths=(text,)))
digest = hashlib.sha256()
for part in built.splits.values():
    digest.update(built.vocabulary.decode(part.ids).encode())
print(built.fingerprint, digest.hexdigest())
"""


def test_build_folder_goes_with_its_build(tmp_path: Path) -> None:
    """A build folder is deleted when its build ends, whether that succeeds or fails."""
    with building_folder(tmp_path) as folder:
        (folder / "part").write_text("part")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="broken"), building_folder(tmp_path):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_two_builds_at_once_are_both_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that build the same text at once both get it whole.

    Neither finds it in the cache; one of them is second to put it there.
    """
    cache, meeting, text = (tmp_path / name for name in ("cache", "meeting", "text"))
    meeting.mkdir()
    text.write_text(written := "".join(f"{number} of many, " for number in range(200_000)))
    monkeypatch.setenv("CHARLM_CACHE", str(cache))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _BUILD_AT_ONCE, str(meeting), str(text), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    fingerprint = build_corpus(CorpusConfig(paths=(str(text),))).fingerprint
    digest = hashlib.sha256(written.encode()).hexdigest()
    assert [output for output, _ in said] == [f"{fingerprint} {digest}\n"] * 2
    folders = [path.name for path in (cache / "corpora").iterdir() if path.is_dir()]
    assert folders == [fingerprint]
    assert {path.name for path in cache.iterdir()} == {".charlm-lock", ".charlm-made", "corpora"}


def test_next_build_removes_a_killed_one(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next build deletes what a killed one left, and nothing that may be in use."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("CHARLM_CACHE", str(cache))
    with subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().rstrip())
        os.utime(folder, (0, 0))
        with building_folder(cache):
            assert (folder / "half").exists(), "it is in use"
        process.kill()
    not_marked = folder.with_name("1-young")  # a process that lives may have made it a moment ago
    not_marked.mkdir()
    with building_folder(cache):
        assert not folder.exists()
        assert not_marked.exists()
    os.utime(not_marked, (0, 0))
    build_corpus(CorpusConfig(paths=(str(text_file),)))
    assert {path.name for path in cache.iterdir()} == {".charlm-lock", ".charlm-made", "corpora"}


@pytest.mark.parametrize("name", ["lock", "made-by-charlm.json"])
def test_build_may_be_named_like_its_lock(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has the name of the lock or of the marker is built beside it."""
    seen: list[bytes] = []
    fsync = os.fsync

    def look(number: int) -> None:
        seen.extend(
            path.read_bytes() for path in (tmp_path / RESERVED).glob(f"*/{name}") if path.is_file()
        )
        fsync(number)

    monkeypatch.setattr(os, "fsync", look)
    write_whole(tmp_path / name, b"a checkpoint")
    assert seen
    assert b"a checkpoint" not in seen
    assert (tmp_path / name).read_bytes() == b"a checkpoint"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_nobody_else_can_write_to_a_marker(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with built_in(tmp_path) as folder:
            mode = (folder / "made-by-charlm.json").stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_IMODE(mode) == 0o600


def test_young_unmarked_folder_is_left(tmp_path: Path) -> None:
    """A young build folder without a marker is left to its maker.

    The maker may live in another container, where its process number means something else.
    """
    number = 2**22 + 1  # no process has it
    young = tmp_path / RESERVED / f"{number}-young"
    young.mkdir(parents=True)
    build_folder.remove_abandoned(tmp_path)
    assert young.exists()
    os.utime(young, (0, 0))
    build_folder.remove_abandoned(tmp_path)
    assert not young.exists()
