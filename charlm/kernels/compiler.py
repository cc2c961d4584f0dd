"""Build the C++ kernels with the compiler of this machine, once, for exactly this processor.

The kernels are optional: without a compiler `library()` is None, and PyTorch's kernels are used.
"""

import atexit
import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock

from charlm.environment.processor import processor
from charlm.kernels.libraries import suffix
from charlm.kernels.store import KernelStore

_SOURCE = Path(__file__).with_name("kernels.cpp")
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-shared",
    "-fPIC",
    "-pthread",
    "-ffp-contract=fast",
    "-fno-math-errno",  # but no flag that changes the meaning of NaN
)
_BUILD_SECONDS = 300.0
"""Time after which a build is stopped."""
_VERSION_SECONDS = 20.0
"""Longest wait for the version of the compiler."""
_one_at_a_time = Lock()
"""Held by the thread that builds or loads the kernels; the others wait for its result."""
if hasattr(os, "register_at_fork"):  # forks wait, too: nobody would release a locked copy
    _release = _one_at_a_time.release
    os.register_at_fork(
        before=_one_at_a_time.acquire, after_in_parent=_release, after_in_child=_release
    )


def begin() -> None:
    """Start a necessary build, so that it runs while torch is imported."""
    if _unavailable_reason() is not None:
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
    loaded, reason = _loaded()
    return "compiled kernels" if loaded is not None else f"PyTorch's kernels ({reason})"


def _loaded() -> tuple[ctypes.CDLL | None, str]:
    with _one_at_a_time:  # `cache` alone lets several threads build at the same time
        return _load()


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if (reason := _unavailable_reason()) is not None:
        return None, reason
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
    with suppress(OSError):  # if it fails, the next start builds them again
        store.keep(data)
    try:
        return store.load(data), ""
    except OSError as error:
        store.remember_failure(str(error))
        return None, str(error)


def _unavailable_reason() -> str | None:
    if os.environ.get("CHARLM_KERNELS", "").lower() in ("off", "0", "no", "false"):
        return "CHARLM_KERNELS is off"
    return None if _compiler() else "no C++ compiler found; CXX names one"


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
        if found := shutil.which(os.path.expanduser(named)):  # noqa: PTH111 - of an unknown home
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
    return (*_compiler(), *_FLAGS, "-mcpu=native" if arm else "-march=native")


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


class _Build:
    """Run a compiler on a file in a private temporary folder."""

    def __init__(self) -> None:
        self._reason = ""
        self._owner = os.getpid()
        self._folder: str | None = None
        try:
            self._folder = tempfile.mkdtemp(prefix="charlm-")
            self._built = Path(self._folder, f"kernels{suffix()}")
            self._process = subprocess.Popen(
                [*_command(), str(_SOURCE), "-o", str(self._built)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # so that the children of the compiler end with it
            )
        except OSError as error:
            self._reason = str(error)
            self._clear()
        else:
            atexit.register(self._abandon)

    def _abandon(self) -> None:
        """Stop the compiler and delete its files when the process ends before the build."""
        if os.getpid() != self._owner:
            return
        if self._process.poll() is None:
            self._stop()
        if self._process.stderr is not None and not self._process.stderr.closed:
            self._process.communicate()
        self._clear()

    def _clear(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _stop(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)

    def finish(self) -> tuple[bytes | None, str]:
        """Wait for the compiler; return the library, or the reason of the failure.

        A failed build is recorded in the note, a compiler that cannot be started is not.
        """
        if self._reason:
            return None, self._reason
        try:
            _, messages = self._process.communicate(timeout=_BUILD_SECONDS)
            if self._process.returncode == 0:
                return self._built.read_bytes(), ""
            lines = messages.splitlines() or ["the compiler failed without a message"]
            reason = next((line for line in lines if "error" in line), lines[0])
        except subprocess.TimeoutExpired:
            self._stop()
            reason = f"the compiler took more than {_BUILD_SECONDS:.0f} s"
        except OSError as error:
            return None, str(error)
        finally:
            self._clear()
        _store().remember_failure(reason)
        return None, reason


@cache
def _building() -> _Build:
    return _Build()
