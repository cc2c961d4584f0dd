"""Digests of the contents of files, remembered until the files change.

What is remembered of a file is its size, times and inode. They tell whether it was written since,
but for one trap: a file written twice within a tick of the file system's clock has the same times
both times. So a digest is remembered only of a file that had rested when it was read.
"""

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.corpus.decoding import is_gzipped
from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import write_whole
from charlm.files.cache_record import claim, make_folder, record_locked
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded

_REST_NS = 3 * 10**9
"""Longer than the coarsest tick of a file system in use, FAT's two seconds."""
_MOST_FILES, _MOST_MEGABYTES = 20_000, 16

Marks = list[int]
"""What the file system says of a file, and changes when the file is written."""


class Digests:
    """The digests of files, remembered in a file of the cache."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known = _recall(memory)
        self._has_news = False

    def of(self, files: Sequence[Path]) -> str:
        """Return a SHA-256 of the contents and whether they are gzipped, not of the names."""
        digest = hashlib.sha256()
        for path in files:
            with file_errors("be read", path, "check the file", CorpusError):
                digest.update(b"gzip" if is_gzipped(path) else b"plain")
                digest.update(self._of_file(path))
        return digest.hexdigest()

    def _of_file(self, path: Path) -> bytes:
        name = str(path.absolute())
        with path.open("rb") as file:
            now, about = time.time_ns(), os.fstat(file.fileno())
            marks = _marks(about)
            if name in self._known and self._known[name][0] == marks:
                return self._known[name][1]
            digest = hashlib.file_digest(file, "sha256").digest()
        last_written = max(about.st_mtime_ns, about.st_ctime_ns)
        if stat.S_ISREG(about.st_mode) and last_written + _REST_NS < now:
            self._known.pop(name, None)  # so that the newest stand last
            self._known[name] = marks, digest
            self._has_news = True
        return digest

    def remember(self) -> None:
        """Save new digests; if they cannot be written, the next start only takes longer."""
        if not self._has_news:
            return
        entries = {name: (marks, digest.hex()) for name, (marks, digest) in self._known.items()}
        newest = list(entries.items())[-_MOST_FILES:]
        while len(text := json.dumps(dict(newest))) > _MOST_MEGABYTES << 20:
            newest = newest[len(newest) // 2 :]
        with suppress(OSError), record_locked():
            make_folder(self._memory.parent)
            claim(self._memory)
            write_whole(self._memory, text.encode())


def _marks(about: os.stat_result) -> Marks:
    # The time of change comes from the system alone: `cp -p`, `tar` and `touch -d` cannot set it.
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _recall(memory: Path) -> dict[str, tuple[Marks, bytes]]:
    try:
        entries = parse_json(as_ascii(read_bounded(memory, _MOST_MEGABYTES)))
    except (OSError, InvalidDataError):  # none yet, or damaged
        return {}
    if type(entries) is not dict or not all(map(_is_entry, entries.values())):
        return {}
    return {name: (marks, bytes.fromhex(digest)) for name, (marks, digest) in entries.items()}


def _is_entry(entry: Any) -> bool:
    """Return whether a value has the form that `remember` writes: the marks and the digest."""
    if type(entry) is not list or list(map(type, entry)) != [list, str]:
        return False
    marks, digest = entry
    return set(map(type, marks)) <= {int} and re.fullmatch("([0-9a-f]{2})*", digest) is not None
