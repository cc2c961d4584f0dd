"""Build the C++ kernels with the compiler of this machine, once, for exactly this processor.

Without a compiler, those that the wheel carries are used. Where it has none for this processor,
`library()` is None, and PyTorch's kernels are used.
"""

import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock

from charlm.environment.processor import instructions, processor
from charlm.files.locations import expand_home
from charlm.kernels.build import Build
from charlm.kernels.flags import FLAGS
from charlm.kernels.prebuilt import prebuilt_library
from charlm.kernels.store import KernelStore

_SOURCE = Path(__file__).with_name("kernels.cpp")
_VERSION_SECONDS = 20.0
"""Longest wait for the version of the compiler."""
_one_at_a_time = Lock()
"""Held by the thread that builds or loads the kernels; the others wait for its result."""
if hasattr(os, "register_at_fork"):  # forks also wait: nobody would release a locked copy
    _release = _one_at_a_time.release
    os.register_at_fork(
        before=_one_at_a_time.acquire, after_in_parent=_release, after_in_child=_release
    )


def begin() -> None:
    """Start a necessary build, so that it runs while torch is imported."""
    if _are_off() or not _compiler():
        return
    with _one_at_a_time:
        store = _store()
        if store.read() is None and not store.failure():
            _building()


def library() -> ctypes.CDLL | None:
    """Return the kernels, and build them if necessary; None if they are not available."""
    return _loaded()[0]


def description() -> str:
    """Describe which kernels run the cells on the CPU, and why, for a log."""
    return _loaded()[1]


def _loaded() -> tuple[ctypes.CDLL | None, str]:
    with _one_at_a_time:  # `cache` alone lets several threads build at the same time
        return _load()


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """Return the kernels, or None, and the description of those that compute."""
    if _are_off():
        return None, "PyTorch's kernels (CHARLM_KERNELS is off)"
    library, reason = _compiled()
    if library is not None:
        return library, "compiled kernels"
    if (path := prebuilt_library(instructions())) is not None:
        try:
            return ctypes.CDLL(str(path)), f"prebuilt {path.stem} ({reason})"
        except OSError as error:
            reason += f"; {error}"
    return None, f"PyTorch's kernels ({reason})"


def _compiled() -> tuple[ctypes.CDLL | None, str]:
    """Return the kernels that are built for this processor, or None and the reason."""
    if not _compiler():
        return None, "no C++ compiler found; CXX names one"
    store = _store()
    data = store.read()
    if data is not None:
        with suppress(OSError):
            return store.load(data), ""
    if reason := store.failure():
        return None, f"{reason}; charlm tries again after a day, or with another compiler"
    data, reason = _building().finish()
    if data is None:
        return None, reason
    with suppress(OSError):  # if this fails, the next process builds them again
        store.keep(data)
    try:
        return store.load(data), ""
    except OSError as error:
        store.remember_failure(str(error))
        return None, str(error)


def _are_off() -> bool:
    return os.environ.get("CHARLM_KERNELS", "").lower() in ("off", "0", "no", "false")


def _store() -> KernelStore:
    return KernelStore(kernels_version())


@cache
def kernels_version() -> str:
    """Return a digest of the sources, the compiler, its version and flags, and the processor."""
    sources = [_SOURCE, *sorted(_SOURCE.parent.glob("*.hpp"))]
    texts = [source.read_text(encoding="utf-8") for source in sources]
    parts = [*texts, *_command(), _compiler_version(), processor()]
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:20]


@cache
def _compiler() -> tuple[str, ...]:
    """Return the command of the compiler: `CXX`, that of the system, or the ziglang package."""
    if named := os.environ.get("CXX"):
        if found := shutil.which(expand_home(named)):
            return (found,)
        try:
            return tuple(shlex.split(named))
        except ValueError:  # an open quote
            return (named,)
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return (found,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++")
    return ()


def _command() -> tuple[str, ...]:
    """Return the command that builds the kernels, without the names of files."""
    arm = platform.machine().lower() in ("arm64", "aarch64")
    return (*_compiler(), *FLAGS, "-shared", "-mcpu=native" if arm else "-march=native")


def _compiler_version() -> str:
    """Return the version text of the compiler, or "" if it gives none."""
    try:
        result = subprocess.run(
            [*_compiler(), "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.decode(errors="replace")


@cache
def _building() -> Build:
    return Build([*_command(), str(_SOURCE)], _store().remember_failure)
