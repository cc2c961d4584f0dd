"""Read prefixes from the command line or from files, as bytes."""

import os
from pathlib import Path

from charlm.corpus.file_kinds import kind_of
from charlm.corpus.vocabulary import bytes_of
from charlm.errors import CharlmError, file_errors
from charlm.files.locations import from_user
from charlm.files.untrusted import read_bounded

_MOST_MEGABYTES = 16
_MARK = b"\xef\xbb\xbf"


def argument_bytes(text: str, option: str, is_raw: bool) -> bytes:
    """Return the bytes of an argument: unchanged if `is_raw` (byte model), otherwise as UTF-8.

    Python passes bytes that the locale cannot decode as surrogates (PEP 383); this recovers the
    original bytes. Raises `CharlmError` if they are not UTF-8.
    """
    try:
        typed = os.fsencode(text)
    except UnicodeEncodeError:  # the text does not come from a command line in this locale
        typed = bytes_of(text)
    is_decoded = not any("\ud800" <= character <= "\udfff" for character in text)
    if is_decoded and not is_raw:
        return text.encode()
    if not is_raw:
        _check_utf_8(typed, option, "give UTF-8, or a file with --prefix-file")
    return typed


def read_prefix(path: Path) -> bytes:
    """Read a prefix file; raises `CharlmError` if that fails or it is too large."""
    with file_errors("be read", path, "check the path", CharlmError):
        return read_bounded(from_user(path), _MOST_MEGABYTES)


def decoded_prefix(data: bytes, path: Path, is_raw: bool) -> bytes:
    """Return a prefix file's bytes: unchanged if `is_raw`, otherwise UTF-8 without its mark.

    Raises `CharlmError` if they are not UTF-8.
    """
    if is_raw:
        return data
    if kind := kind_of(data):
        raise CharlmError(f"{path}: {kind.name}, not UTF-8 text; save the prefix as UTF-8")
    _check_utf_8(data, path, "convert the file")
    return data.removeprefix(_MARK)


def _check_utf_8(data: bytes, where: object, remedy: str) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as reason:
        wrong = data[reason.start]
        raise CharlmError(
            f"{where}: byte {reason.start} is not UTF-8 (0x{wrong:02x}); {remedy}"
        ) from None
