"""Texts drawn from all of Unicode, and what tests ask of a corpus."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import strategies as st

from charlm.config.schema import CorpusConfig
from charlm.corpus.corpus import SPLITS, Corpus, Split
from charlm.corpus.decoding import read_symbols
from charlm.corpus.vocabulary import Symbols

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: list[Form] = ["NFC", "NFD", "NFKC", "NFKD"]
WHOLE = (1.0, 0.0, 0.0)
MARK = "\ufeff"

any_character = st.characters(exclude_categories=())  # surrogates included
awkward = st.sampled_from(
    "\r\n\t\0 a1é你한😀\x7f\x80\x85\u07ff\u0800\u2028\ufeff\ufffd\uffff\ud800\udfff"
    "\U00010000\U0010ffff"
)
any_text = st.text(any_character | awkward, max_size=60)
"""All of Unicode, with what tends to go wrong drawn more often."""
blocks = st.integers(1, 7)


def config_of(*paths: Path | str, **keys: Any) -> CorpusConfig:
    """Return a config that keeps line ends: `test_newlines` has the laws of others."""
    places = tuple(str(path) for path in paths)
    return CorpusConfig(**{"paths": places, "newlines": "keep", **keys})


def text_of(pieces: Sequence[Symbols]) -> str:
    joined = np.concatenate([np.zeros(0, "<u4"), *pieces]).astype("<u4")
    return joined.tobytes().decode("utf-32-le", "surrogatepass")


def read(*files: Path, block: int | None = None, **keys: Any) -> str:
    """Read files in pieces of `block` bytes."""
    with pytest.MonkeyPatch.context() as patch:
        if block is not None:
            patch.setattr("charlm.corpus.blocks._BLOCK_BYTES", block)
        return text_of(list(read_symbols(files, config_of("unused", **keys))))


def decoded(corpus: Corpus) -> str:
    """Join the splits of a corpus to its text."""
    return "".join(corpus.vocabulary.decode(corpus.splits[name].ids) for name in SPLITS)


def facts(corpus: Corpus) -> tuple[Any, ...]:
    """All that is known of a corpus but its fingerprint."""

    def of_split(part: Split) -> tuple[Any, ...]:
        return part.ids.tolist(), part.unknown.tolist(), part.measure(0, len(part))

    parts = (of_split(corpus.splits[name]) for name in SPLITS)
    return corpus.vocabulary, corpus.hapaxes, *parts


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
