"""Delete the files that charlm wrote to the cache, and no others."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from charlm.corpus.cache import FILES, SKETCHES
from charlm.errors import CorpusError, file_errors
from charlm.files.build_folder import remove_abandoned
from charlm.files.cache_record import claimed, forget, record_file, record_locked
from charlm.files.locations import cache_folder
from charlm.formatting import count
from charlm.kernels.store import files_of_kernels, folder_of_kernels


def clear_cache() -> int:
    """Delete everything that charlm wrote to its cache; return the number of bytes freed.

    A folder that also contains other files stays, with those files. Raises `CorpusError` at the
    end if something could not be deleted.
    """
    folder, freed = cache_folder(), 0
    for place in (folder, folder / "texts", folder / "corpora", folder_of_kernels()):
        freed += remove_abandoned(place)
    reasons: list[str] = []
    freed += _delete_all(files_of_kernels(), reasons)
    with file_errors("be read", record_file(), "check the file", CorpusError):
        has_claims = bool(claimed())
    if has_claims:
        remedy = "check that it can be written"
        with file_errors("be cleared", folder, remedy, CorpusError), record_locked(is_last=True):
            claims = claimed()
            freed += _delete_all(claims, reasons)
            # A folder that contains other files remains on disk and in the record.
            forget([path for path in claims if not os.path.lexists(path)])
    if reasons:
        raise CorpusError(
            f"{reasons[0]}; {count(len(reasons), 'error')} in all, {freed / 1e6:,.2f} MB freed; "
            "close the programs that use these files"
        )
    return freed


def _delete_all(paths: list[Path], reasons: list[str]) -> int:
    """Delete files and folders; return the bytes freed, and add failures to `reasons`."""
    freed = 0
    for path in paths:
        try:
            freed += _delete(path)
        except OSError as reason:
            reasons.append(f"{path}: could not be deleted ({reason.strerror})")
    return freed


def _delete(path: Path) -> int:
    """Delete a file, or a folder with charlm's files; return the number of bytes freed."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    if stat.S_ISREG(status.st_mode):
        path.unlink()
        return status.st_size
    if not stat.S_ISDIR(status.st_mode):  # such as a link: charlm creates none
        return 0
    names = () if path.parent == cache_folder() else (*FILES, *SKETCHES.values())
    freed = sum(_delete(path / name) for name in names if (path / name).is_file())
    with suppress(OSError):  # it contains other files
        path.rmdir()
    return freed
