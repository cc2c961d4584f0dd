"""Files from elsewhere, which may be of any size, or endless."""

import errno
from pathlib import Path


def read_bounded(path: Path, megabytes: int) -> bytes:
    """Read a file; raises `OSError`, before memory is full, if it is larger."""
    with path.open("rb") as file:
        data = file.read((megabytes << 20) + 1)
    if len(data) > megabytes << 20:
        raise OSError(errno.EFBIG, f"larger than {megabytes} MB")
    return data
