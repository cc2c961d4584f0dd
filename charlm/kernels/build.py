"""Run a compiler in the background."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from charlm.kernels.libraries import suffix

_BUILD_SECONDS = 300.0
"""Time after which a build is stopped."""


class Build:
    """Run a compiler that writes a library to a private temporary folder."""

    def __init__(self, command: Sequence[str], remember_failure: Callable[[str], None]) -> None:
        """Start the `command`, to which the name of the library is added.

        `remember_failure` gets the reason if the build fails, but not if it cannot be started.
        """
        self._remember_failure = remember_failure
        self._reason = ""
        self._owner = os.getpid()
        self._folder: str | None = None
        try:
            self._folder = tempfile.mkdtemp(prefix="charlm-")
            self._built = Path(self._folder, f"kernels{suffix()}")
            self._process = subprocess.Popen(
                [*command, "-o", str(self._built)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # so that the compiler's children end with it
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
        """Wait for the compiler; return the library, or the reason of the failure."""
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
        self._remember_failure(reason)
        return None, reason
