"""The compiled kernels in the cache: nothing is loaded that this user's charlm did not build."""

import ctypes
import errno
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.kernels import needs_compiler
from support.processes import as_another_user, needs_root

from charlm.cli.clearing import clear_cache
from charlm.environment import processor
from charlm.kernels import compiler, libraries, store
from charlm.kernels.flags import FLAGS
from charlm.kernels.store import KernelStore
from charlm.models.cells import LSTMCell

DATA = b"a library"
LIBRARY = f"key-{hashlib.sha256(DATA).hexdigest()}{libraries.suffix()}"
needs_owners = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such owners")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept() -> KernelStore:
    """Return a store that holds a library."""
    made = KernelStore("key")
    made.keep(DATA)
    assert made.read() == DATA
    return made


@needs_owners
def test_store_is_private(cache: Path) -> None:
    """Only the user can read and write the folder."""
    before = os.umask(0)
    try:
        made = kept()
    finally:
        os.umask(before)
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in [made.folder, *made.folder.iterdir()]
    }
    assert modes == {made.folder.name: 0o700, LIBRARY: 0o600, "key.json": 0o600}


def loosen(path: Path) -> None:
    path.chmod(0o777)


def give_away(path: Path) -> None:
    os.chown(path, 65534, -1)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@needs_owners
@pytest.mark.parametrize("name", ["", LIBRARY, "key.json"])
@pytest.mark.parametrize(
    "change", [loosen, link, pytest.param(give_away, marks=needs_root)], ids=lambda f: f.__name__
)
def test_foreign_library_is_not_read(
    change: Callable[[Path], None], name: str, cache: Path
) -> None:
    """A library that others own or can write to is not read."""
    made = kept()
    change(made.folder / name)
    assert made.read() is None


def test_changed_library_is_replaced(cache: Path) -> None:
    """A library with another content is not read, and is replaced."""
    made = kept()
    (made.folder / LIBRARY).write_bytes(b"A library")
    assert made.read() is None
    made.keep(DATA)
    assert made.read() == DATA


def test_foreign_files_are_left_alone(cache: Path) -> None:
    """Files that charlm did not write are not loaded, replaced or deleted."""
    foreign = [kept().folder / "other.so", kept().folder / "third.json"]
    for path in foreign:
        path.write_bytes(b"mine")
    other, third = KernelStore("other"), KernelStore("third")
    assert other.read() is third.read() is None
    other.keep(DATA)
    assert other.read() == DATA
    with pytest.raises(FileExistsError):
        third.keep(DATA)
    (third.folder / third.library_of(hashlib.sha256(DATA).hexdigest())).unlink()
    clear_cache()
    assert [path.read_bytes() for path in foreign] == [b"mine"] * 2
    assert sorted(foreign) == sorted(kept().folder.glob("[ot]*"))


def test_library_without_note_is_replaced(cache: Path) -> None:
    """Otherwise each start would compile, and nothing would delete the library."""
    made = KernelStore("0123456789abcdef0123")
    made.keep(DATA)
    note = made.folder / "0123456789abcdef0123.json"
    note.unlink()
    assert made.read() is None
    made.keep(DATA)
    assert made.read() == DATA
    note.unlink()
    assert clear_cache() == len(DATA)
    assert list(cache.iterdir()) == []


def test_clearing_proves_what_charlm_wrote(cache: Path) -> None:
    """The name of a note or library proves nothing: its content does."""
    folder, key = kept().folder, "0123456789abcdef0123"
    names = [f"{key}.json", f"{key}-{'0' * 64}.so", f"{key}-{'0' * 64}.dll", "4" * 20 + ".json"]
    foreign = dict(zip(names, [b"mine", b"mine", b"", b"{}"], strict=True))
    for name, data in foreign.items():
        (folder / name).write_bytes(data)
    assert clear_cache() > 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == foreign


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        OSError(f"/proc/self/fd/9: cannot open shared object file: {os.strerror(errno.EMFILE)}"),
        PermissionError(errno.EPERM, "others own it, or may write to it"),
    ],
)
def test_temporary_failure_is_not_recorded(
    error: OSError, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary failure to load a library in place is not recorded."""
    made = kept()

    def refuse(self: KernelStore, data: bytes) -> Any:
        raise error

    monkeypatch.setattr(KernelStore, "_loaded_in_place", refuse)
    monkeypatch.setattr(store, "loaded_from_copy", lambda data: ctypes.CDLL(None))
    made.load(DATA)
    assert (note := made.recall()) is not None
    assert note.loads_in_place


def test_clearing_takes_the_kernels_along(cache: Path) -> None:
    kept()
    KernelStore("other").remember_failure("no such luck")
    before = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert clear_cache() == before > 0
    assert list(cache.rglob("*")) == []


@needs_root
def test_users_of_a_cache_are_separate(cache: Path, tmp_path: Path) -> None:
    """The second user builds a library of his own, and leaves the first one's alone."""
    cache.mkdir()
    for folder in (cache, *tmp_path.parents, tmp_path):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    cache.chmod(0o777)
    made = kept()
    mine = {path: path.read_bytes() for path in made.folder.iterdir()}

    def use() -> object:
        own = KernelStore("key")
        first = made.read(), own.read()
        own.keep(b"another library")
        return *first, made.read(), own.read(), own.folder.name

    assert as_another_user(use) == repr((None, None, None, b"another library", "kernels-65534"))
    assert {path: path.read_bytes() for path in made.folder.iterdir()} == mine
    theirs = cache / "kernels-65534"
    shutil.rmtree(made.folder)
    theirs.rename(made.folder)  # as whoever may write to the cache could do
    assert KernelStore("key").read() is None


def small_library(folder: Path) -> bytes:
    """Compile a library of one function."""
    target = folder / f"small{libraries.suffix()}"
    code = 'extern "C" long long charlm_lanes() { return 8; }'
    command = [*compiler._compiler(), "-shared", "-fPIC", "-x", "c++", "-", "-o", str(target)]
    subprocess.run(command, input=code.encode(), check=True)
    return target.read_bytes()


@needs_compiler
def test_what_is_loaded_is_what_was_checked(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that takes the library's place after the check is not loaded."""
    real = small_library(tmp_path)
    made = KernelStore("key")
    made.keep(real)
    true_load = ctypes.CDLL

    def swapped(name: str) -> Any:
        for path in made.folder.glob("*.so"):
            path.rename(tmp_path / "moved.so")
            path.write_bytes(b"not what was checked")
        return true_load(name)

    monkeypatch.setattr(ctypes, "CDLL", swapped)
    assert made.load(real).charlm_lanes() > 0


@needs_compiler
def test_folder_without_code_is_recorded(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The library is loaded from a private copy then, and never built again."""
    real = small_library(tmp_path)
    made = KernelStore("key")
    made.keep(real)
    tried = []

    def refuse(self: KernelStore, data: bytes) -> Any:
        tried.append(data)
        raise OSError("failed to map segment from shared object")

    monkeypatch.setattr(KernelStore, "_loaded_in_place", refuse)
    for _ in range(3):
        assert KernelStore("key").load(real).charlm_lanes() > 0
    assert len(tried) == 1
    assert made.read() == real


@needs_compiler
def test_damaged_library_is_rebuilt(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: Callable[[], None]
) -> None:
    """A small source stands for that of the kernels."""
    source = tmp_path / "small.cpp"
    source.write_text('extern "C" long long charlm_lanes() { return 8; }')
    monkeypatch.setattr(compiler, "_SOURCE", source)
    assert compiler.library() is not None
    (built,) = cache.glob("kernels*/*.so")
    content = built.read_bytes()
    built.unlink()  # not overwritten: this process has loaded it
    built.write_bytes(b"no library")
    built.chmod(0o600)
    forgetful()
    library = compiler.library()
    assert library is not None
    assert library.charlm_lanes() == 8
    assert len(built.read_bytes()) == len(content)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"CHARLM_KERNELS": "off"}, "CHARLM_KERNELS is off"),
        ({"CXX": "no-such-compiler"}, "no-such-compiler"),
        ({"CXX": "false"}, "without a message"),
        ({"PATH": "/nowhere"}, "no C++ compiler"),
    ],
)
def test_pytorch_computes_without_kernels(
    variables: dict[str, str],
    reason: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    forgetful: Callable[[], None],
) -> None:
    """The description names the reason, and at most a note is left in the cache."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    cell = LSTMCell(4, 8)
    outputs, _ = cell(torch.ones(2, 3, 4), cell.initial_state(3))
    assert outputs.shape == (2, 3, 8)
    description = compiler.description()
    assert description.startswith("PyTorch's kernels")
    assert reason in description
    assert {path.suffix for path in cache.rglob("*") if path.is_file()} <= {".json"}


def counting_compiler(folder: Path, action: str) -> Path:
    """Make a compiler that notes each build, then does something."""
    path = folder / "compiler"
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && cat {folder}/version && exit\n'
        f"echo built >> {folder}/builds\n{action}\n"
    )
    path.chmod(0o755)
    (folder / "version").write_text("1.0")
    (folder / "builds").write_text("")
    return path


@needs_owners
def test_failed_build_is_recorded_for_a_day(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: Callable[[], None]
) -> None:
    """A failed build is repeated after a day, or when the key changes."""
    monkeypatch.setenv("CXX", str(counting_compiler(tmp_path, "echo 'error: no luck' >&2; exit 1")))

    def builds() -> int:
        forgetful()
        compiler.begin()
        assert compiler.library() is None
        assert "error: no luck" in compiler.description()
        return (tmp_path / "builds").read_text().count("built")

    assert [builds(), builds(), builds()] == [1, 1, 1]
    (tmp_path / "version").write_text("2.0")
    assert [builds(), builds()] == [2, 2]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100_000)
    assert [builds(), builds()] == [3, 3]
    monkeypatch.setattr(time, "time", lambda: now - 100_000)  # a clock that was set back
    assert builds() == 4
    clear_cache()
    assert builds() == 5


@needs_owners
def test_unloadable_library_is_built_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: Callable[[], None]
) -> None:
    """A library that cannot be loaded is not built at each start."""
    made = counting_compiler(tmp_path, 'for last; do :; done; echo "no library" > "$last"')
    monkeypatch.setenv("CXX", str(made))
    for _ in range(3):
        forgetful()
        assert compiler.library() is None
    assert (tmp_path / "builds").read_text().count("built") == 1


@needs_owners
def test_key_covers_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: Callable[[], None]
) -> None:
    """The key depends on the compiler, its version and flags, and the processor."""
    made = counting_compiler(tmp_path, "")
    other = shutil.copy(made, tmp_path / "other")

    def key() -> str:
        forgetful()
        return compiler.kernels_version()

    monkeypatch.setenv("CXX", str(made))
    keys = [key()]
    assert key() == keys[0]
    (tmp_path / "version").write_text("2.0")
    keys.append(key())
    monkeypatch.setenv("CXX", str(other))
    keys.append(key())
    monkeypatch.setattr("charlm.kernels.compiler.FLAGS", (*FLAGS, "-g"))
    keys.append(key())
    monkeypatch.setattr(compiler, "processor", lambda: "another")
    keys.append(key())
    assert len(set(keys)) == len(keys)


X86 = "model name : One\nflags : sse avx\ncpu MHz : {}\n\n"
ARM = "CPU implementer : 0x41\nCPU part : {}\nFeatures : fp asimd\n\n"


def uname(node: str) -> platform.uname_result:
    return platform.uname_result("Linux", node, "6", "1", "aarch64")


def test_processors_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(cpuinfo: str, system: str = "linux", sysctl: str = "", node: str = "here") -> str:
        pairs = [line.partition(":") for line in cpuinfo.splitlines()]
        known = [(name.strip(), value.strip()) for name, _, value in pairs]
        monkeypatch.setattr(processor, "_cpuinfo", lambda: known)
        monkeypatch.setattr(processor, "_sysctl", lambda: sysctl)
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(platform, "uname", lambda: uname(node))
        return processor.processor()

    assert told(X86.format(1000)) == told(X86.format(2000)), "the clock is no part of it"
    assert told(ARM.format("0xd08") + ARM.format("0xd03")) != told(ARM.format("0xd03"))
    assert told(ARM.format("0xd08")) != told(ARM.format("0xd03"))
    assert told("", "darwin", "Apple M1") != told("", "darwin", "Apple M2")
    assert told("", node="one") != told("", node="other"), "nothing is known of either"
