"""Texts that every installation has: charlm's own, and those that come with Python."""

import hashlib
import sysconfig
from pathlib import Path

from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import write_whole
from charlm.files.cache_record import claim, make_folder, record_locked
from charlm.files.locations import ANOTHER_CACHE, cache_folder, shipped

BUILTIN = {
    "python-docs": "the Python language reference that comes with the interpreter",
    "python-stdlib": "the sources of Python's standard library",
    "lyrics-zh": "Chinese lyrics written for charlm",
    "names": "38,000 surnames, one a line (US census of 1990)",
}
_EXCLUDED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3"}
"""Names of folders whose files are not part of `python-stdlib`."""


def builtin_files(name: str) -> list[Path]:
    """Return the files of a built-in text; those of `python-docs` are written to the cache."""
    match name:
        case "python-docs":
            return [_python_docs()]
        case "python-stdlib":
            return _python_stdlib()
        case _:
            return [shipped("data") / f"{name}.txt"]


def _python_docs() -> Path:
    from pydoc_data import topics  # noqa: PLC0415 - half a megabyte that only this text needs

    text = "\n".join(topics.topics[key] for key in sorted(topics.topics)).encode()
    path = cache_folder() / "texts" / f"python-docs-{hashlib.sha256(text).hexdigest()[:12]}.txt"
    with file_errors("be read", path, ANOTHER_CACHE, CorpusError):
        is_current = path.exists() and path.read_bytes() == text
    if not is_current:
        with file_errors("be written", path, ANOTHER_CACHE, CorpusError), record_locked():
            make_folder(path.parent)
            claim(path)
            write_whole(path, text)
    return path


def _python_stdlib() -> list[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(
        path
        for path in library.rglob("*.py")
        if not _EXCLUDED_FOLDERS.intersection(path.relative_to(library).parts)
    )
    if not files:
        raise CorpusError(f"python-stdlib: no sources in {library}; name a text with --text")
    return files
