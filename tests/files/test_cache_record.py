"""The record of the cache names what is there, whatever happens beside a start."""

import os
import platform
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, SoftFileLock

from charlm.cli import clearing
from charlm.cli.clearing import clear_cache
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.errors import CorpusError
from charlm.files import cache_record, measurements
from charlm.files.cache_record import claim, record_file, record_locked


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "charlm.corpus.file_digests._REST_NS", -(10**18)
    )  # digests are remembered at once
    return tmp_path / "cache"


def build(folder: Path, text: str) -> None:
    """Build the corpus of a text."""
    (folder / f"{text}.txt").write_text(f"{text}, and some more of it\n" * 20, "utf-8")
    build_corpus(CorpusConfig(paths=(str(folder / f"{text}.txt"),)))


@pytest.mark.parametrize("moment", ["corpora", "measurements.json"])
def test_claim_during_clearing_is_kept(
    moment: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that is made while `data clear` deletes is in the record afterwards."""
    build(tmp_path, "first")
    measurements.remember("x", 1)
    beside = threading.Thread(target=build, args=(tmp_path, "second"))
    delete, is_at_lock = clearing._delete, threading.Event()

    class NoticedLock(FileLock):
        def acquire(self, *arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is beside:
                is_at_lock.set()
            return super().acquire(*arguments, **options)

    def delete_beside_a_build(path: Path) -> Any:
        freed = delete(path)
        if path.name == moment and beside.ident is None:
            beside.start()
            while beside.is_alive() and not is_at_lock.wait(0.01):
                pass
        return freed

    monkeypatch.setattr(cache_record, "FileLock", NoticedLock)
    monkeypatch.setattr(clearing, "_delete", delete_beside_a_build)
    clear_cache()
    beside.join()
    build(tmp_path, "second")
    build(tmp_path, "third")
    measurements.remember("x", 2)
    assert measurements.remembered("x") == 2
    clear_cache()
    assert list(cache.iterdir()) == []


def test_a_lost_record_stops_no_build(cache: Path, tmp_path: Path) -> None:
    build(tmp_path, "first")
    (cache / ".charlm-made").unlink()
    build(tmp_path, "second")


def test_claim_is_on_disk_before_its_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim is synchronised to the disk before the file that it is for."""
    synchronised, fsync = set(), os.fsync

    def note(number: int) -> None:
        synchronised.add((os.fstat(number).st_ino, os.fstat(number).st_size))
        fsync(number)

    monkeypatch.setattr(os, "fsync", note)
    with record_locked():
        claim(cache / "measurements.json")
    about = (cache / ".charlm-made").stat()
    assert (about.st_ino, about.st_size) in synchronised


@pytest.mark.parametrize("name", [".charlm-lock", "corpora"])
def test_error_names_the_path_in_the_way(name: str, cache: Path, tmp_path: Path) -> None:
    """The error names the path in the cache that charlm did not make, and leaves it unchanged."""
    cache.mkdir()
    (cache / name).write_text("mine")
    with pytest.raises(CorpusError, match=f"cache/{name} is something that charlm did not make"):
        build(tmp_path, "first")
    assert (cache / name).read_text() == "mine"


def test_a_refused_claim_leaves_no_lock(cache: Path) -> None:
    """Nothing is left behind where nothing was recorded, because clearing would not find it."""
    cache.mkdir()
    (cache / "measurements.json").write_text("mine")
    measurements.remember("x", 1)
    assert [path.name for path in cache.iterdir()] == ["measurements.json"]


def test_locks_where_flock_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process waits for a lock file with the marker that filelock writes to it."""
    monkeypatch.setattr(cache_record, "FileLock", SoftFileLock)
    measurements.remember("x", 1)
    (cache / ".charlm-lock").write_text(f"{2**31 - 1}\n{platform.node()}\n")  # of a killed process
    measurements.remember("x", 2)
    assert measurements.remembered("x") == 2
    with record_locked():
        beside = threading.Thread(target=measurements.remember, args=("x", 3))
        beside.start()
        beside.join(0.1)
        assert beside.is_alive()
    beside.join()
    assert measurements.remembered("x") == 3


def test_the_record_is_written_in_binary(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C runtime of Windows would change its line ends."""
    binary, flags_of = os.O_SYNC, {}
    open_ = os.open

    def note(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        flags_of[Path(path).name] = flags
        return open_(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", note)
    measurements.remember("x", 1)
    assert {flags_of[name] & binary for name in (".charlm-made", "made-by-charlm.json")} == {binary}


def test_clearing_names_an_unreadable_record(cache: Path) -> None:
    measurements.remember("x", 1)
    with record_file().open("ab") as file:
        file.truncate(17 << 20)
    with pytest.raises(CorpusError, match=r"\.charlm-made: could not be read \(larger than 16 MB"):
        clear_cache()


def test_measurements_beside_other_formats(cache: Path, tmp_path: Path) -> None:
    """Files of another format stop neither measurements nor digests.

    A cache of another version, which kept no record, may have the same path.
    """
    (cache / "corpora").mkdir(parents=True)
    old = [cache / "machine.json", cache / "corpora" / "digests.json"]
    for path in old:
        path.write_text("{}")
    measurements.remember("x", 1)
    assert measurements.remembered("x") == 1
    build(tmp_path, "first")
    remembered = cache / "corpora" / "file-digests.json"
    assert "first.txt" in remembered.read_text("utf-8")
    assert [path.read_text() for path in old] == ["{}"] * 2
