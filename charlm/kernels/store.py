"""Store compiled kernels in the cache, and load only those that this user's charlm built.

The folder `kernels-<user id>` belongs to the user, and nobody else can open it. The name of a
library contains the digest of its content, and a note accompanies it. charlm does not load a file
that others own or can write to, or whose content has changed. The note also records that a build
failed, and that a library cannot be loaded from this folder.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import stat
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from charlm.files.atomic import write_whole
from charlm.files.locations import cache_folder
from charlm.files.untrusted import InvalidDataError, as_ascii, checked, item, parse_json
from charlm.kernels.libraries import is_lasting, loaded_from_copy, loaded_from_open, suffix

_MOST_LIBRARY_BYTES = 64 << 20
_MOST_NOTE_BYTES = 1 << 16
_RETRY_SECONDS = 86_400.0
"""Time after which charlm repeats a failed build; it also does so when the key changes."""
_LIBRARY = re.compile(r".+-([0-9a-f]{64})\.(so|dll)")
"""Pattern of the name of a library: its key, and the SHA-256 of its content."""


@dataclass(frozen=True)
class Note:
    """The record of one build."""

    made_by: str = "charlm"
    sha256: str = ""
    """SHA-256 of the library."""
    loads_in_place: bool = True
    """False if the file system of the folder does not allow loading code."""
    failure: str = ""
    """Reason why there is no library."""
    when: float = 0.0
    """Time of the failure, in seconds since 1970."""


class KernelStore:
    """Read and write the library with one key, and its note, in the user's folder."""

    def __init__(self, key: str) -> None:
        self.folder = folder_of_kernels()
        self._key, self._note = key, f"{key}.json"

    def library_of(self, sha256: str) -> str:
        """Return the file name of the library with this digest."""
        return f"{self._key}-{sha256}{suffix()}"

    def recall(self) -> Note | None:
        """Return the note if charlm wrote one for this user."""
        with suppress(OSError, InvalidDataError), self._opened(self._note) as file:
            fields = parse_json(as_ascii(file.read(_MOST_NOTE_BYTES)))
            return checked(Note, fields) if item(fields, "made_by", str) == "charlm" else None
        return None

    def has_library(self, name: str) -> bool:
        """Return whether a file of the folder has the content that its name states."""
        match = _LIBRARY.fullmatch(name)
        with suppress(OSError), self._opened(name) as file:
            data = file.read(_MOST_LIBRARY_BYTES) if match else b""
            return match is not None and hashlib.sha256(data).hexdigest() == match[1]
        return False

    def failure(self) -> str:
        """Return why the last build failed; "" if none failed or a new attempt is due."""
        note = self.recall()
        if note is None or not 0 <= time.time() - note.when < _RETRY_SECONDS:
            return ""
        return note.failure

    def read(self) -> bytes | None:
        """Return the library if charlm built it for this user and it is unchanged."""
        note = self.recall()
        if note is None or note.failure:
            return None
        with suppress(OSError), self._opened(self.library_of(note.sha256)) as file:
            data = file.read(_MOST_LIBRARY_BYTES)
            return data if hashlib.sha256(data).hexdigest() == note.sha256 else None
        return None

    def keep(self, data: bytes) -> None:
        """Write a library that was built, then its note.

        A library without a note is replaced. Raises `OSError` if charlm did not make the file at
        the path of the note.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        self._make_folder()
        write_whole(self.folder / self.library_of(sha256), data, mode=0o600)
        self._remember(Note(sha256=sha256))

    def remember_failure(self, reason: str) -> None:
        """Record a failed build, so that the next starts skip it for a day."""
        with suppress(OSError):
            self._remember(Note(failure=f"{reason:.300}", when=time.time()))

    def load(self, data: bytes) -> ctypes.CDLL:
        """Load a library from the folder if it has the same content, else from a private copy.

        Raises `OSError` if neither can be loaded.
        """
        note = self.recall()
        if note is not None and note.loads_in_place:
            try:
                return self._loaded_in_place(data)
            except OSError as error:
                library = loaded_from_copy(data)
                if is_lasting(error):
                    with suppress(OSError):
                        self._remember(Note(sha256=note.sha256, loads_in_place=False))
                return library
        return loaded_from_copy(data)

    def _loaded_in_place(self, data: bytes) -> ctypes.CDLL:
        name = self.library_of(hashlib.sha256(data).hexdigest())
        if sys.platform == "win32":
            if self.read() != data:  # Windows cannot load the file that is open
                raise OSError(errno.ESTALE, "it has just changed")
            return ctypes.CDLL(str(self.folder / name))
        if sys.platform != "linux":
            raise OSError(errno.ENOTSUP, "an open file has no path here")
        with self._opened(name) as file:  # load exactly the file that is checked
            if file.read(_MOST_LIBRARY_BYTES) != data:
                raise OSError(errno.ESTALE, "it has just changed")
            return loaded_from_open(file)

    def _opened(self, name: str) -> BinaryIO:
        """Open a file of the folder; raises `OSError` if others own it or can write to it."""
        if os.name == "nt":
            return (self.folder / name).open("rb")
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check_own(folder, 0o077)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            number = os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            _check_own(number, 0o022)
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise OSError(errno.EINVAL, "not a file")
            return os.fdopen(number, "rb")
        except OSError:
            os.close(number)
            raise

    def _remember(self, note: Note) -> None:
        self._make_folder()
        if self.recall() is None and os.path.lexists(self.folder / self._note):
            raise FileExistsError(errno.EEXIST, "something is there that charlm did not make")
        write_whole(self.folder / self._note, json.dumps(asdict(note)).encode(), mode=0o600)

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.folder.mkdir(0o700)
        check_private(self.folder)


def folder_of_kernels() -> Path:
    """Return the folder of this user's kernels."""
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
    return cache_folder() / f"kernels{user}"


def files_of_kernels() -> list[Path]:
    """Return the files that charlm wrote to this user's folder, and then the folder."""
    folder, found = folder_of_kernels(), list[Path]()
    with suppress(OSError):
        check_private(folder)
        for path in sorted(folder.iterdir()):
            store = KernelStore(path.stem)
            is_note = path.suffix == ".json" and store.recall() is not None
            if is_note or store.has_library(path.name):
                found.append(path)
    return [*found, folder] if found else []


def check_private(folder: Path) -> None:
    """Raise `OSError` unless this user owns a folder and nobody else can open it."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check_own(number, 0o077)
    finally:
        os.close(number)


def _check_own(number: int, forbidden_mode: int) -> None:
    """Raise `PermissionError` unless this user owns an open file without these mode bits."""
    status = os.fstat(number)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & forbidden_mode:
        raise PermissionError(errno.EPERM, "another user owns it or can write to it")
