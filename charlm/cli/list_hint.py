"""Say that a text to train on looks like a list, and what to type for one."""

import shlex

import numpy as np

from charlm.analysis.text_lines import record_form
from charlm.config.schema import CorpusConfig
from charlm.corpus.decoding import read_symbols
from charlm.corpus.text_files import file_digests, text_files

_CHARACTERS = 100_000
"""Number of characters by which a list is recognised."""
_TABLES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def list_hint(config: CorpusConfig) -> list[str]:
    """Return a line if a text that is read as running text looks like a list; else no line.

    Only the beginning of the first file is read.
    """
    named = (*config.paths, *config.validation_paths, *config.test_paths)
    if config.has_records or not config.paths or "-" in named or config.unit == "byte":
        return []
    files = text_files(config, (config.paths, (), ()), file_digests())
    first = files.groups[0][0]
    form = _TABLES.get(first.suffix.lower(), "")
    if not form:
        beginning = config.replace(max_characters=_CHARACTERS)
        pieces = read_symbols([first], beginning, files.encodings)
        symbols = np.concatenate([np.zeros(0, "<u4"), *pieces])
        text = symbols.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        form = record_form(text.splitlines())
    if not form:
        return []
    option = f"--records {shlex.quote(form)}{' --column NAME' if form in _TABLES.values() else ''}"
    return [f"the text looks like a list; {option} trains on its items, in any order"]
