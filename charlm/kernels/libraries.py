"""Load a compiled library from a private copy or an open file."""

import ctypes
import errno
import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

_PASSING_REASONS = tuple(
    os.strerror(number) for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)
"""Messages of system errors that may be gone in a later process."""
_numbers = itertools.count(1)


def suffix() -> str:
    """Return the file name suffix of libraries."""
    return ".dll" if sys.platform == "win32" else ".so"


def loaded_from_copy(data: bytes) -> ctypes.CDLL:
    """Load a library from a private temporary folder; raises `OSError`."""
    with tempfile.TemporaryDirectory(prefix="charlm-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, f"kernels{suffix()}")
        path.write_bytes(data)
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            if not hasattr(os, "memfd_create"):
                raise
            # The temporary folder may not allow loading code, either.
            with os.fdopen(os.memfd_create("charlm-kernels"), "w+b") as file:
                file.write(data)
                file.flush()
                return loaded_from_open(file)


def loaded_from_open(file: BinaryIO) -> ctypes.CDLL:
    """Load a library from an open file, under Linux; raises `OSError`."""
    # Use a new name each time: the loader reuses a library that it has loaded by the same name.
    return ctypes.CDLL(f"/proc/self/fd/{'./' * next(_numbers)}{file.fileno()}")


def is_lasting(error: OSError) -> bool:
    """Return whether loading failed for a reason that remains in later processes.

    Errors of the loader have no number; errors of the system have one, and may pass.
    """
    return error.errno is None and not any(reason in str(error) for reason in _PASSING_REASONS)
