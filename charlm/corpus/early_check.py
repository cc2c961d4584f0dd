"""Check a text before torch is imported, so that a mistake costs less than a second."""

from pathlib import Path

from charlm.config.schema import CorpusConfig
from charlm.corpus.builtin_texts import BUILTIN
from charlm.corpus.catalogue import download_path, files_of
from charlm.corpus.decoding import read_symbols
from charlm.corpus.split_bounds import describe_empty
from charlm.corpus.text_files import file_digests, text_files
from charlm.errors import CorpusError

_MAX_CHECKED_FILES = 100
"""Number of files whose beginnings are decoded, at most."""


def check_text(config: CorpusConfig) -> None:
    """Raise `CorpusError` for files that are missing, empty, or not text from the beginning.

    Building the corpus reports files that are not read, and checks standard input.
    """
    if config.builtin is not None and config.builtin not in BUILTIN:
        if not download_path(config.builtin).exists():
            files_of(config.builtin)  # raises the error
        return
    if config.builtin is not None:
        return
    named = (config.paths, config.validation_paths, config.test_paths)
    places = [tuple(path for path in paths if path != "-") for paths in named]
    digests = file_digests()
    found = text_files(config, places, digests)
    digests.remember()
    files = found.groups[0]
    if files and not any(path.stat().st_size for path in files):
        raise CorpusError(describe_empty(list(map(str, files))))
    for group in found.groups:
        _check_beginnings(group, config, found.encodings)


def _check_beginnings(files: list[Path], config: CorpusConfig, encodings: dict[Path, str]) -> None:
    """Decode the first block of each file."""
    for number, path in enumerate(files[:_MAX_CHECKED_FILES]):
        others = [*files[:number], *files[number + 1 :]]  # the remedy of an error depends on them
        next(read_symbols([path, *others], config, encodings), None)
