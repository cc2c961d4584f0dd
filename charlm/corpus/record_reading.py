"""Divide the text of a file into records: lines, paragraphs, rows of a table, or separated texts.

A file arrives in pieces. Memory holds one record and one piece.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain

from charlm.config.schema import CorpusConfig
from charlm.corpus.record_source import (
    MAX_RECORD_CHARACTERS,
    RecordSource,
    as_text,
    without_line_end,
)
from charlm.corpus.record_tables import rows, values


def divide(texts: Iterator[str], config: CorpusConfig, name: str) -> Iterator[str]:
    """Yield the records of a file, empty ones too, as they stand in it.

    The line end after a record is no part of it. `name` names the file in errors. Raises
    `CorpusError` for a file that does not have the form that the config names, and for a record
    that is longer than `MAX_RECORD_CHARACTERS`.
    """
    source = RecordSource(texts, config, name)
    if config.records == "lines":
        return map(without_line_end, source.lines())
    if config.records == "paragraphs":
        return _between(source, lambda line: not line.strip())
    if config.records == "csv":
        return rows(source)
    if config.records == "jsonl":
        return values(source)
    return _separated(source, as_text(config.records, config))


def _between(source: RecordSource, separates: Callable[[str], bool]) -> Iterator[str]:
    """Yield the texts between lines that separate; several of these in a row are one."""
    gathered: list[str] = []
    size = begin = 0
    for line in source.lines():
        if not separates(line):
            begin = begin if gathered else source.number
            gathered.append(line)
            size += len(line) + 1
            source.check(size, begin)
        elif gathered:
            yield without_line_end("\n".join(gathered))
            gathered, size = [], 0
    if gathered:
        yield without_line_end("\n".join(gathered))


def _separated(source: RecordSource, separator: str) -> Iterator[str]:
    """Yield the texts between separators.

    If one is a line of its own, only such lines separate, so that records may contain the
    separator. Otherwise each one does, together with a line end on either side.
    """
    escaped = re.escape(separator)
    own_line = re.compile(rf"^{escaped}\r?\n", re.MULTILINE)
    beginning, is_own, searched = "", False, 0
    for text in source.texts:
        beginning += text
        is_own = own_line.search(beginning, searched) is not None
        if is_own or len(beginning) > MAX_RECORD_CHARACTERS:  # no record of lines is so long
            break
        searched = max(0, len(beginning) - len(separator) - 1)
    else:
        is_own = re.search(rf"^{escaped}\r?\Z", beginning, re.MULTILINE) is not None
    source.texts = chain([beginning], source.texts)
    if is_own and "\n" not in separator:
        return _between(source, lambda line: without_line_end(line) == separator)
    return _split(source, re.compile(rf"(?:\r?\n)?{escaped}(?:\r?\n)?"))


def _split(source: RecordSource, pattern: re.Pattern[str]) -> Iterator[str]:
    pending = ""
    for text in source.texts:
        pending += text
        start = 0
        for found in pattern.finditer(pending):
            if len(pending) - found.end() < len("\r\n"):  # the line end after it may follow
                break
            yield pending[start : found.start()]
            source.number += pending.count("\n", start, found.end())
            start = found.end()
        pending = pending[start:]
        source.check(len(pending), source.number + 1)
    *whole, last = pattern.split(pending)
    yield from whole
    yield without_line_end(last.removesuffix("\n"))
