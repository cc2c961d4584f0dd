"""Find out whether a process trains in a run folder, without disturbing it."""

import os
import sys
from pathlib import Path

from filelock import FileLock, Timeout


def is_training(lock: Path) -> bool | None:
    """Return whether a process holds the lock file of a run; None if that cannot be found out.

    The file of another user can often be read but not written, and `FileLock` writes.
    """
    try:
        if lock.is_file():
            FileLock(lock, timeout=0).acquire().lock.release()
    except Timeout:
        return True
    except OSError:
        return _is_held(lock)
    return False


if sys.platform == "win32":

    def _is_held(lock: Path) -> bool | None:
        return None

else:
    import fcntl

    def _is_held(lock: Path) -> bool | None:
        """Test the lock of a file that can be read only."""
        try:
            file = os.open(lock, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # such as a file system without locks
            return None
        finally:
            os.close(file)  # which releases the lock
        return False
