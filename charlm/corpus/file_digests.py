"""Digests and encodings of files, remembered until the files change.

A digest is stored with the size, times and inode of its file, which change when the file is
written. There is one exception: a file that is written twice within a tick of the file system's
clock keeps its times. So a digest is stored only if the file was not written shortly before.
"""

import codecs
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charlm.corpus.blocks import is_gzipped
from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import write_whole
from charlm.files.cache_record import claim, make_folder, record_locked
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded

_REST_NS = 3 * 10**9
"""Nanoseconds without a write before a digest is stored: longer than the tick of FAT, 2 s."""
_MAX_FILES = 20_000
"""Number of files whose digests are stored."""
_MAX_MEGABYTES = 16
"""Largest size of the file that stores the digests."""

Marks = list[int]
"""Properties of a file that change when it is written."""


@dataclass(frozen=True)
class _Entry:
    marks: Marks
    digest: bytes
    encoding: str = ""
    """Empty if it has not been needed yet."""


class Digests:
    """The digests and encodings of files, remembered in a file of the cache."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known = _recall(memory)
        self._has_new_digests = False

    def of(self, files: Sequence[Path]) -> str:
        """Return a SHA-256 of the contents and of whether they are gzipped, but not of names."""
        digest = hashlib.sha256()
        for path in files:
            with file_errors("be read", path, "check the file", CorpusError):
                digest.update(b"gzip" if is_gzipped(path) else b"plain")
                digest.update(self._of_file(path))
        return digest.hexdigest()

    def _of_file(self, path: Path) -> bytes:
        name = str(path.absolute())
        with path.open("rb") as file:
            now, status = time.time_ns(), os.fstat(file.fileno())
            marks = _marks(status)
            if name in self._known and self._known[name].marks == marks:
                return self._known[name].digest
            digest = hashlib.file_digest(file, "sha256").digest()
        last_written = max(status.st_mtime_ns, status.st_ctime_ns)
        if stat.S_ISREG(status.st_mode) and last_written + _REST_NS < now:
            self._known.pop(name, None)  # keeps the newest entries last
            self._known[name] = _Entry(marks, digest)
            self._has_new_digests = True
        return digest

    def encoding_of(self, path: Path, recognise: Callable[[], str]) -> str:
        """Return the encoding of a file, which `recognise` finds if it is not remembered."""
        entry = self._known.get(str(path.absolute()))
        with file_errors("be read", path, "check the file", CorpusError):
            is_known = entry is not None and entry.marks == _marks(path.stat())
        if entry is not None and is_known and entry.encoding:
            return entry.encoding
        encoding = recognise()
        if entry is not None and is_known:
            self._known[str(path.absolute())] = replace(entry, encoding=encoding)
            self._has_new_digests = True
        return encoding

    def remember(self) -> None:
        """Save new digests; if they cannot be written, the next start only takes longer."""
        if not self._has_new_digests:
            return
        entries = {
            name: (entry.marks, entry.digest.hex(), entry.encoding)
            for name, entry in self._known.items()
        }
        newest = list(entries.items())[-_MAX_FILES:]
        while len(text := json.dumps(dict(newest))) > _MAX_MEGABYTES << 20:
            newest = newest[len(newest) // 2 :]
        with suppress(OSError), record_locked():
            make_folder(self._memory.parent)
            claim(self._memory)
            write_whole(self._memory, text.encode())


def _marks(status: os.stat_result) -> Marks:
    # Only the system sets ctime: `cp -p`, `tar` and `touch -d` cannot.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _recall(memory: Path) -> dict[str, _Entry]:
    try:
        entries = parse_json(as_ascii(read_bounded(memory, _MAX_MEGABYTES)))
    except (OSError, InvalidDataError):  # none yet, or damaged
        return {}
    if type(entries) is not dict or not all(map(_is_entry, entries.values())):
        return {}
    return {
        name: _Entry(marks, bytes.fromhex(digest), *encoding)
        for name, (marks, digest, *encoding) in entries.items()
    }


def _is_entry(entry: Any) -> bool:
    """Return whether a value has the form that `remember` writes, or an earlier version wrote."""
    if type(entry) is not list or list(map(type, entry)) not in ([list, str], [list, str, str]):
        return False
    marks, digest, *encoding = entry
    is_encoding = all(name == "" or _is_encoding(name) for name in encoding)
    is_digest = re.fullmatch("([0-9a-f]{2})*", digest) is not None
    return set(map(type, marks)) <= {int} and is_digest and is_encoding


def _is_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name).name == name
    except (LookupError, ValueError):
        return False
