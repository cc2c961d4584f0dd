"""What a person has typed or saved to begin a text with, as bytes."""

import os
from pathlib import Path

from charlm.bounded import read_bounded
from charlm.errors import CharlmError, file_errors
from charlm.file_kinds import kind_of
from charlm.resources import from_user
from charlm.vocabulary import bytes_of

_MOST_MEGABYTES = 16
_MARK = b"\xef\xbb\xbf"


def argument_bytes(text: str, option: str, is_raw: bool) -> bytes:
    """Return an argument as it was typed if `is_raw`, for a model of bytes; otherwise as UTF-8.

    What the locale cannot decode, Python hands over as surrogates (PEP 383), from which the bytes
    that were typed are recovered. Raises `CharlmError` where they are not UTF-8.
    """
    try:
        typed = os.fsencode(text)
    except UnicodeEncodeError:  # not from the command line of this locale
        typed = bytes_of(text)
    is_decoded = not any("\ud800" <= character <= "\udfff" for character in text)
    if is_decoded and not is_raw:
        return text.encode()
    if not is_raw:
        _check_utf_8(typed, option, "give it in UTF-8, or in a file with --prefix-file")
    return typed


def read_prefix(path: Path, is_raw: bool) -> bytes:
    """Return what a file holds, as it is if `is_raw`; otherwise it is UTF-8, and loses its mark.

    Raises `CharlmError`.
    """
    with file_errors("be read", path, "check the path", CharlmError):
        data = read_bounded(from_user(path), _MOST_MEGABYTES)
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
