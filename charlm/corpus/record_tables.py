"""Read records from tables: a column of CSV, or a value of the objects of JSON lines."""

import csv
import json
from collections.abc import Iterator
from itertools import chain

from charlm.corpus.newlines import newlines_converted
from charlm.corpus.record_source import MAX_RECORD_CHARACTERS, RecordSource, as_text
from charlm.formatting import count
from charlm.suggestions import did_you_mean

_DELIMITERS = ",;\t"
"""Delimiters of a CSV file, of which the first that finds the column in the header is used."""


def rows(source: RecordSource) -> Iterator[str]:
    """Yield the column of a CSV file with a header; raises `CorpusError`."""
    # The limit is one of the whole process: it is only ever raised, to that of other records.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARACTERS))
    column, lines = as_text(_column_of(source), source.config), source.lines()
    header: list[str] = []  # the lines that it may take, depending on the delimiter
    names = {mark: _names(header, lines, mark) for mark in _DELIMITERS}
    mark = next((mark for mark in names if column in names[mark]), None)
    if mark is None:
        found = [source.shown(one) for one in max(names.values(), key=len)]
        if not found:
            raise source.error("the file", "has no header, which names the columns; add one")
        hint = did_you_mean(source.shown(column), found)
        hint = hint or f"its columns are {', '.join(found)}"
        raise source.error("its header", f"has no column {source.shown(column)!r}; {hint}")
    place = names[mark].index(column)
    ended = (f"{line}\n" for line in chain(header, lines))
    reader = csv.reader(ended, delimiter=mark, strict=True)
    try:
        next(reader)
        for number, row in enumerate(reader, 1):
            if row and len(row) <= place:
                raise source.error(
                    f"row {number:,} (line {source.number:,})",
                    f"has {count(len(row), 'column')}, and {source.shown(column)!r} is column "
                    f"{place + 1}; complete it",
                )
            yield row[place] if row else ""
    except csv.Error as reason:
        raise source.error(f"line {source.number:,}", f"is not CSV ({reason}); repair it") from None


def _names(header: list[str], lines: Iterator[str], mark: str) -> list[str]:
    """Return the columns for a delimiter; `header` keeps each line that is read for that."""

    def remembered() -> Iterator[str]:
        yield from tuple(header)
        for line in lines:
            header.append(line)
            yield line

    try:
        return next(csv.reader((f"{line}\n" for line in remembered()), delimiter=mark), [])
    except csv.Error:  # with another delimiter it may be one
        return []


def values(source: RecordSource) -> Iterator[str]:
    """Yield a value of each JSON object of a file with one in a line; raises `CorpusError`."""
    key, config = _column_of(source), source.config
    for line in source.lines():
        if not line.strip():
            continue
        place = f"line {source.number:,}"
        try:
            fields = json.loads(line.encode("latin-1") if source.is_bytes else line)
        except (ValueError, RecursionError) as reason:
            why = getattr(reason, "msg", "not UTF-8, or nested too deeply")
            raise source.error(place, f"is not JSON ({why}); repair it") from None
        if not isinstance(fields, dict) or not isinstance(value := fields.get(key), str):
            what = f"has no text {key!r}" if isinstance(fields, dict) else "is not an object"
            raise source.error(place, f'{what}; each line needs one, such as {{"{key}": …}}')
        try:
            value.encode()
        except UnicodeEncodeError as reason:
            half = f"U+{ord(value[reason.start]):04X}"
            what = f"has half a character, {half}, in {key!r}; omit it"
            raise source.error(place, what) from None
        if config.line_ends != "keep":  # escapes stand for line ends, too
            value = newlines_converted(value, config.line_ends)
        yield as_text(value, config)


def _column_of(source: RecordSource) -> str:
    assert source.config.column is not None, "the config was validated"
    return source.config.column
