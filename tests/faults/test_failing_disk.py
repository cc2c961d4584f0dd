"""A disk that is full, fails or is read-only from any one call on: a line, and nothing lost."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clocked import clock_of_steps
from support.commands import refused, run
from support.training import assert_same_state, lines, train
from support.workplace import Workplace

import charlm
from charlm.config.schema import CorpusConfig
from charlm.corpus import file_digests
from charlm.corpus.builder import build_corpus
from charlm.corpus.cache import cached_corpus
from charlm.errors import CorpusError, RunError
from charlm.kernels.store import KernelStore
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.runs.logs import Logs


class Disk:
    """Counts the calls of a kind below a folder; from the n-th on, they fail."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, kind: str, code: int) -> None:
        self.kind, self.code, self._folder = kind, code, str(folder)
        self.heal()
        patch.setattr(io, "open", self._opener(io.open))
        for name, kinds in (
            ("open", {"change"}),
            ("mkdir", {"change"}),
            ("unlink", {"change"}),
            ("rmdir", {"change"}),
            ("replace", {"change", "rename"}),
            ("rename", {"change", "rename"}),
            ("fsync", {"fsync"}),
        ):
            patch.setattr(os, name, self._failing(getattr(os, name), kinds))

    def heal(self) -> None:
        self.fail_at(10**9)

    def fail_at(self, call: int) -> None:
        self.calls_left = call

    def note(self, kinds: set[str]) -> None:
        if self.kind in kinds:
            self.calls_left -= 1
            if self.calls_left <= 0:
                raise OSError(self.code, os.strerror(self.code))

    def _is_ours(self, path: Any) -> bool:
        return isinstance(path, int) or str(path).startswith(self._folder)

    def _failing(self, call: Callable[..., Any], kinds: set[str]) -> Callable[..., Any]:
        def failing(path: Any, *arguments: Any, **options: Any) -> Any:
            is_reading = call.__name__ == "open" and not arguments[0] & (os.O_RDWR | os.O_WRONLY)
            is_ours = "dir_fd" in options or self._is_ours(path)  # `rmtree` names files within it
            if is_ours and not is_reading:
                self.note(kinds)
            return call(path, *arguments, **options)

        return failing

    def _opener(self, opened: Callable[..., Any]) -> Callable[..., Any]:
        disk = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                try:
                    disk.note({"write"})
                except OSError:
                    super().write(bytes(data)[: len(data) // 2])  # what still had room
                    raise
                return super().write(data)

            def truncate(self, size: int | None = None) -> int:
                disk.note({"write", "change"})  # where files are copied on a write, it takes space
                return super().truncate(size)

        def open_(
            path: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any
        ) -> Any:
            if (mode[0] == "r" and "+" not in mode) or not self._is_ours(path):
                return opened(path, mode, buffering, *text, **options)
            self.note({"change"})
            raw = Raw(path, mode.replace("b", ""))
            if "+" in mode:
                return io.BufferedRandom(raw)
            file = io.BufferedWriter(raw)
            return file if "b" in mode else io.TextIOWrapper(file, *text, **options)

        return open_


FAULTS = {
    "write": errno.ENOSPC,
    "fsync": errno.EIO,
    "rename": errno.EACCES,
    "change": errno.EROFS,
}
"""What fails, and how; `change` is all that a read-only folder refuses."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("disk")
    return Workplace(folder, steps=6, save_every=2, validate_every=3)


@pytest.fixture(scope="module")
def place_of_few_kinds(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("few")
    return Workplace(folder, steps=6, save_every=2, validate_every=3, num_kinds=8)


@pytest.mark.parametrize(
    ("kind", "every"), [("write", 31), ("fsync", 17), ("rename", 17), ("change", 101)]
)
def test_a_disk_that_fails_loses_nothing(
    place_of_few_kinds: Workplace, monkeypatch: pytest.MonkeyPatch, kind: str, every: int
) -> None:
    clock_of_steps(monkeypatch)
    place = place_of_few_kinds
    fail_everywhere(place, Disk(monkeypatch, place.folder, kind, FAULTS[kind]), every)


@pytest.mark.long
@pytest.mark.parametrize("kind", FAULTS)
def test_every_single_call_may_fail(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    clock_of_steps(monkeypatch)
    fail_everywhere(place, Disk(monkeypatch, place.folder, kind, FAULTS[kind]), every=1)


@pytest.mark.parametrize("log", ["metrics.jsonl", "samples.txt"])
@pytest.mark.parametrize("members", [1, 2])
def test_a_failing_log_loses_no_step(
    members: int, log: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a log cannot be written, everything is saved; a resume equals an uninterrupted run."""
    settings = ["training.steps=7", "training.save_every=null", "training.validate_every=5"]
    settings.append(f"ensemble.members={members}")
    whole = train(text_file, tmp_path, *settings, name="whole")
    append = Logs._append

    def half_append(logs: Logs, path: Path, text: str) -> None:
        if path.name == log and text.startswith(('{"step": 5', "--- step 5")):
            with path.open("ab") as file:
                file.write(text.encode()[: len(text) // 2])
            raise RunError("the disk is full")
        append(logs, path, text)

    with monkeypatch.context() as patch, pytest.raises(RunError, match="the disk is full"):
        patch.setattr(Logs, "_append", half_append)
        train(text_file, tmp_path, *settings, name="run")
    member = "member-1" if members > 1 else ""
    places = [folder / member for folder in (tmp_path / "run", whole.path)]
    run, same = map(RunFolder, places)
    assert read_checkpoint(run.last).training_counters["trainer"]["step"] == 5
    charlm.resume(tmp_path / "run")
    assert_same_state(run.last, same.last)
    for ended, uninterrupted in ((run, same), (RunFolder(tmp_path / "run"), whole)):
        assert lines(ended) == lines(uninterrupted)
        assert ended.samples.read_bytes() == uninterrupted.samples.read_bytes()


@pytest.mark.parametrize("kind", FAULTS)
def test_failing_cache_keeps_no_half_corpus(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A failing disk leaves no half-written corpus in the cache.

    Each call fails in turn while a corpus is built; failing to store file digests stops nothing.
    """
    os.utime(text_file, (1, 1))
    monkeypatch.setattr(file_digests, "_REST_NS", -(10**18))  # it has rested, and is remembered
    monkeypatch.setattr(
        "charlm.corpus.cache_files._MAX_DIGESTED_BYTES", 4
    )  # larger files are synchronised
    whole = build_corpus(CorpusConfig(paths=(str(text_file),)))
    disk = Disk(monkeypatch, tmp_path, kind, FAULTS[kind])
    for call in range(1, 1000):
        cache = tmp_path / f"cache-{call}"
        monkeypatch.setenv("CHARLM_CACHE", str(cache))
        disk.fail_at(call)
        refusal = None
        try:
            built = build_corpus(CorpusConfig(paths=(str(text_file),)))
        except CorpusError as error:
            refusal = str(error)
        has_failed = disk.calls_left <= 0
        disk.heal()
        assert refusal is None or (str(cache) in refusal and os.strerror(disk.code) in refusal)
        kept = cached_corpus(whole.fingerprint)
        assert kept is not None or refusal is not None
        assert kept is not None or not (cache / "corpora" / whole.fingerprint).exists()
        built = build_corpus(CorpusConfig(paths=(str(text_file),)))
        assert built.fingerprint == whole.fingerprint
        for name, part in whole.splits.items():
            assert np.array_equal(built.splits[name].ids, part.ids)
        if not has_failed:
            assert call > 3
            return
    raise AssertionError("a corpus has fewer calls")


@pytest.mark.parametrize("kind", FAULTS)
def test_failing_cache_keeps_no_half_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A failing disk leaves the kernels in the cache whole or absent.

    Each call fails in turn; once the disk works again, the next start keeps them.
    """
    disk = Disk(monkeypatch, tmp_path, kind, FAULTS[kind])
    for call in range(1, 100):
        monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / f"cache-{call}"))
        store = KernelStore("key")
        disk.fail_at(call)
        failure = None
        try:
            store.keep(b"a library")
        except OSError as error:
            failure = error
        has_failed = disk.calls_left <= 0
        disk.heal()
        assert failure is None or failure.errno == disk.code
        assert store.read() in ((None, b"a library") if failure else (b"a library",))
        store.keep(b"a library")
        assert store.read() == b"a library"
        if not has_failed:
            assert call > 2
            return
    raise AssertionError("a build has fewer calls")


def fail_everywhere(place: Workplace, disk: Disk, every: int) -> None:
    """Train with a disk that fails from the n-th call on, for every n or each n-th of them."""
    for call in range(1 if every == 1 else every // 2, 1000, every):
        network = next(place.kinds)
        place.whole(network)
        ended = RunFolder(place.folder / f"{disk.kind}-{every}-{call}")
        disk.fail_at(call)
        result = run(*place.arguments(network, ended.path.name))
        disk.heal()
        if result.exit_code == 0:
            assert call > 5
            return
        refused(result, os.strerror(disk.code))
        if not ended.config_file.exists():
            assert not ended.path.exists()  # it is not yet a run
            continue
        place.check_saved(ended)
        disk.fail_at(call % 7 + 1)
        again = run("train", "--quiet", "--resume", ended.path)
        disk.heal()
        if again.exit_code != 0:
            refused(again, os.strerror(disk.code))
        place.check_saved(ended)
        assert run("train", "--quiet", "--resume", ended.path).exit_code == 0
        place.check_end(ended, network)
    raise AssertionError("a run has fewer calls")
