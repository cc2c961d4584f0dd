"""Warn of files that are read in a way that their owner may not expect, and say how."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from charlm.config.schema import CorpusConfig
from charlm.corpus.corpus import Corpus
from charlm.corpus.decoding import web_pages
from charlm.corpus.encodings import shown_encoding
from charlm.corpus.files import list_of
from charlm.corpus.newlines import counted_by_path, line_ends_notice
from charlm.corpus.text_files import TextFiles
from charlm.errors import CorpusNotice, CorpusWarning
from charlm.formatting import count


def warn(notice: str) -> None:
    """Issue a `CorpusWarning`."""
    warnings.warn(" ".join(notice.splitlines()), CorpusWarning, stacklevel=2)


def _inform(notice: str) -> None:
    """Issue a `CorpusNotice`."""
    warnings.warn(" ".join(notice.splitlines()), CorpusNotice, stacklevel=2)


def inform_of_encodings(encodings: dict[Path, str]) -> None:
    """Say which files are read in an encoding that is not UTF-8."""
    for name in dict.fromkeys(encodings.values()):
        paths = [path for path, encoding in encodings.items() if encoding == name]
        _inform(list_of(paths, f"read as {shown_encoding(name)}"))


def warn_of_web_pages(groups: Sequence[Sequence[Path]], config: CorpusConfig) -> None:
    """Warn of HTML files: few users want to train on the tags."""
    pages = web_pages([path for files in groups for path in files])
    if pages and config.unit == "character":
        remedy = "to read its text alone, convert it first, such as with `pandoc -t plain`"
        warn(list_of(pages, f"HTML, read with its tags; {remedy}"))


def inform_of_line_ends(files: TextFiles, corpus: Corpus, config: CorpusConfig) -> None:
    """Say which line ends of files are read as newlines, also if the corpus was in the cache."""
    counts = counted_by_path(all_files(files), corpus.line_ends)
    notice = line_ends_notice(counts, is_whole=config.max_characters is None)
    if notice and config.line_ends == "unify":
        _inform(notice)


def inform_of_records(corpus: Corpus, config: CorpusConfig) -> None:
    """Say how many records are empty, and how many held-out ones the training split knows."""
    if (counts := corpus.records) is None:
        return
    if counts.empty:
        _inform(f"corpus.records: {count(counts.empty, 'empty record')} dropped")
    known, held_out = counts.nearly_shared, counts.validation + counts.test
    if known:
        _inform(
            f"corpus.records: {known:,} of {held_out:,} held-out records are equal to a training "
            "record, or differ from one only in case, white space or normal form"
        )


def all_files(files: TextFiles) -> list[Path]:
    """Return the files of all groups, in order."""
    return [path for group in files.groups for path in group]
