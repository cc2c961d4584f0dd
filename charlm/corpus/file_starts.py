"""Find where each file of a text begins in it."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from charlm.config.schema import CorpusConfig
from charlm.corpus.decoding import read_texts
from charlm.corpus.text_files import file_digests, text_files
from charlm.errors import CorpusError


class FileStart(NamedTuple):
    """A file of a text, and the number of characters of the text before it."""

    path: Path
    start: int


def file_starts(config: CorpusConfig, length: int) -> list[FileStart]:
    """Return the files of `corpus.paths`, or of the builtin text, in their order in running text.

    `length` is the number of characters of this text (bytes with `unit: byte`). The files are read
    again. Returns [] for one file, and if they cannot be read or have another length.
    """
    if "-" in config.paths:
        return []
    with suppress(CorpusError):
        found = text_files(config, (config.paths, (), ()), file_digests())
        (files, *_), starts, place = found.groups, list[FileStart](), 0
        if len(files) < 2:
            return []
        for path, texts in read_texts(files, config, found.encodings, {}):
            starts.append(FileStart(path, place))
            place += sum(map(len, texts))
        if place == length or (config.max_characters == length and place > length):
            return starts
    return []
