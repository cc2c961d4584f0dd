"""Build the C++ kernels with the machine's own compiler: once, for exactly this processor.

Nothing depends on it: without a compiler `library()` is None, and PyTorch's kernels do the work.
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

from charlm.machine import processor
from charlm.resources import cache_folder

_SOURCE = Path(__file__).with_name("kernels.cpp")
_FLAGS = (
    *("-std=c++17", "-O3", "-shared", "-fPIC", "-pthread"),
    *("-ffp-contract=fast", "-fno-math-errno"),  # no flag that would change what nan means
)
_SECONDS = 300.0


def begin() -> None:
    """Start the build, if one is needed, so that it runs while torch loads."""
    if _reason_to_do_without() is None and not os.path.exists(_target()):  # noqa: PTH110
        _building()


def library() -> ctypes.CDLL | None:
    """Return the kernels, built now if need be; None where they cannot be had."""
    return _load()[0]


def description() -> str:
    """Say what runs the cells on the CPU, and why, in a few words for a log."""
    loaded, reason = _load()
    return "compiled kernels" if loaded is not None else f"PyTorch's kernels ({reason})"


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if (reason := _reason_to_do_without()) is not None:
        return None, reason
    target = _target()
    # Not Path.exists, which raises where a folder may not be looked into.
    if not os.path.exists(target) and (reason := _building().finish(target)):  # noqa: PTH110
        return None, reason
    try:
        return ctypes.CDLL(str(target)), ""
    except OSError as error:
        with suppress(OSError):
            target.unlink()  # built again at the next start
        return None, f"{target}: {error}"


def _reason_to_do_without() -> str | None:
    if os.environ.get("CHARLM_KERNELS", "").lower() in ("off", "0", "no", "false"):
        return "CHARLM_KERNELS is off"
    return None if _compiler() else "no C++ compiler found; CXX names one"


@cache
def kernels_version() -> str:
    """Return what tells these kernels on this processor from any others."""
    sources = [_SOURCE, *sorted(_SOURCE.parent.glob("*.hpp"))]
    texts = [source.read_text(encoding="utf-8") for source in sources]
    about = "\n".join([*texts, *_compiler(), *_FLAGS, processor()])
    return hashlib.sha256(about.encode()).hexdigest()[:20]


def _target() -> Path:
    suffix = ".dll" if sys.platform == "win32" else ".so"
    return cache_folder() / "kernels" / f"{kernels_version()}{suffix}"


@cache
def _compiler() -> tuple[str, ...]:
    """Return the command of the compiler: `CXX`, the system's, or that of the ziglang package."""
    if named := os.environ.get("CXX"):
        if shutil.which(named):
            return (named,)
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


class _Build:
    """A compiler at work on a file of its own, which takes its place when it is whole."""

    def __init__(self) -> None:
        self._reason = ""
        self._owner = os.getpid()
        self._partial: Path | None = None
        arm = platform.machine().lower() in ("arm64", "aarch64")
        command = [*_compiler(), *_FLAGS, "-mcpu=native" if arm else "-march=native", str(_SOURCE)]
        try:
            _target().parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="building-", dir=_target().parent)
            os.close(handle)
            self._partial = Path(name)
            self._process = subprocess.Popen(
                [*command, "-o", str(self._partial)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # so that the compiler's own children end with it
            )
        except OSError as error:
            self._reason = str(error)
            self._clear()
        else:
            atexit.register(self._abandon)

    def _abandon(self) -> None:
        """Leave nothing half-made behind when the process ends before it was needed."""
        if os.getpid() != self._owner:
            return
        if self._process.poll() is None:
            self._stop()
        if self._process.stderr is not None and not self._process.stderr.closed:
            self._process.communicate()
        self._clear()

    def _clear(self) -> None:
        if self._partial is not None:
            with suppress(OSError):  # a folder that has become read-only keeps it
                self._partial.unlink(missing_ok=True)

    def _stop(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)

    def finish(self, target: Path) -> str:
        """Wait for it; return why there is no library, where there is none."""
        if self._reason or self._partial is None:
            return self._reason
        try:
            _, messages = self._process.communicate(timeout=_SECONDS)
            if self._process.returncode == 0:
                self._partial.replace(target)
                return ""
            lines = messages.splitlines() or ["the compiler failed without a word"]
            return next((line for line in lines if "error" in line), lines[0])
        except subprocess.TimeoutExpired:
            self._stop()
            return f"the compiler took more than {_SECONDS:.0f} s"
        except OSError as error:
            return str(error)
        finally:
            self._clear()


@cache
def _building() -> _Build:
    return _Build()
