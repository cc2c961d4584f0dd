"""Read prefixes from the command line or from files, as bytes."""

import os
from pathlib import Path

from charlm.corpus.file_kinds import kind_of
from charlm.corpus.vocabulary import bytes_of
from charlm.errors import CharlmError, file_errors
from charlm.files.locations import from_user
from charlm.files.untrusted import read_bounded

_PREFIX_LIMIT_MEGABYTES = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def argument_bytes(text: str, option: str, is_raw: bool) -> bytes:
    """Return the bytes of an argument: unchanged if `is_raw` (byte model), otherwise as UTF-8.

    Python passes bytes that the locale cannot decode as surrogates (PEP 383); this recovers the
    original bytes. Raises `CharlmError` if they are not UTF-8.
    """
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError:  # the text does not come from a command line in this locale
        data = bytes_of(text)
    is_decoded = not any("\ud800" <= character <= "\udfff" for character in text)
    if is_decoded and not is_raw:
        return text.encode()
    if not is_raw:
        _check_utf_8(data, option, "give UTF-8, or a file with --prefix-file")
    return data


def read_prefix(path: Path) -> bytes:
    """Read a prefix file; raises `CharlmError` if it is too large or cannot be read."""
    with file_errors("be read", path, "check the path", CharlmError):
        return read_bounded(from_user(path), _PREFIX_LIMIT_MEGABYTES)


def decoded_prefix(data: bytes, path: Path, is_raw: bool) -> bytes:
    """Return a prefix file's bytes: unchanged if `is_raw`, otherwise UTF-8 without its BOM.

    Raises `CharlmError` if they are not UTF-8.
    """
    if is_raw:
        return data
    if kind := kind_of(data):
        raise CharlmError(f"{path}: {kind.name}, not UTF-8 text; save the prefix as UTF-8")
    _check_utf_8(data, path, "convert the file")
    return data.removeprefix(_BYTE_ORDER_MARK)


def line_bytes(line: bytes, is_raw: bool) -> bytes:
    """Return a line of input: unchanged if `is_raw`; raises `CharlmError` if it is not UTF-8."""
    if not is_raw:
        _check_utf_8(line, "the line", "give UTF-8")
    return line


def _check_utf_8(data: bytes, where: object, remedy: str) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as reason:
        value = data[reason.start]
        raise CharlmError(
            f"{where}: byte {reason.start} is not UTF-8 (0x{value:02x}); {remedy}"
        ) from None
