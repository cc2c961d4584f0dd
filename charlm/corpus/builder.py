"""Build a corpus from a text: decode, count, split and encode it, piece by piece.

The text is decoded once to a file of code points. The vocabulary is counted over the training
split. Then ids replace the code points. Memory does not grow with the text.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.blocks import spool_standard_input
from charlm.corpus.cache import cached_corpus, keep_corpus, write_description
from charlm.corpus.corpus import SPLITS, Corpus, Origin, Split, SplitName
from charlm.corpus.decoding import read_symbols
from charlm.corpus.fingerprints import digests_of_groups, fingerprint_of_files
from charlm.corpus.newlines import LineEnds, counted_by_place
from charlm.corpus.notices import (
    all_files,
    inform_of_encodings,
    inform_of_line_ends,
    inform_of_records,
    warn,
    warn_of_web_pages,
)
from charlm.corpus.record_builder import RecordBuilder
from charlm.corpus.records import Records, boundary_of, end_size
from charlm.corpus.split_bounds import split_bounds
from charlm.corpus.symbol_file import Counts, SymbolFile
from charlm.corpus.text_files import TextFiles, file_digests, text_files
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError, file_errors
from charlm.files.build_folder import building_folder
from charlm.files.locations import ANOTHER_CACHE, cache_folder


def build_corpus(
    config: CorpusConfig, vocabulary: Vocabulary | None = None, *, is_setting: bool = True
) -> Corpus:
    """Build the corpus of a text, or open it from the cache.

    Without `vocabulary`, the vocabulary is built from the text. Messages name settings of the
    config as remedies, unless there is no way to set them (`is_setting`).
    Raises `CorpusError` if a text is missing, unreadable, empty or too short to split. Issues a
    `CorpusWarning` for named files that it does not read.
    """
    places = config.paths, config.validation_paths, config.test_paths
    if any("-" in paths for paths in places):
        with building_folder(cache_folder()) as building:
            read = [_without_standard_input(paths, building) for paths in places]
            return _corpus_of(read, config, vocabulary, is_setting)
    return _corpus_of(places, config, vocabulary, is_setting)


def _corpus_of(
    places: Sequence[Sequence[str]],
    config: CorpusConfig,
    vocabulary: Vocabulary | None,
    is_setting: bool,
) -> Corpus:
    """Return the corpus of files; a cached one requires no permission to write to the cache."""
    digests = file_digests()
    files = text_files(config, places, digests, warn, is_setting=is_setting)
    inform_of_encodings(files.new_encodings)
    key = fingerprint_of_files(files, vocabulary)
    corpus = cached_corpus(key)
    if corpus is None:
        with (
            building_folder(cache_folder()) as building,
            file_errors("be written", building, ANOTHER_CACHE, CorpusError),
        ):
            warn_of_web_pages(files.groups, config)
            _encode(files, config, vocabulary, building / "corpus")
            if tuple(digests.of(group) for group in files.groups) != files.contents:
                raise CorpusError("the text changed during reading; start again")
            corpus = keep_corpus(building / "corpus", key)
    digests.remember()
    inform_of_line_ends(files, corpus, config)
    inform_of_records(corpus, config)
    return replace(corpus, encodings=files.recorded())


def encode_files(paths: Sequence[str], config: CorpusConfig, vocabulary: Vocabulary) -> Split:
    """Decode whole files with the settings of `config`, and encode them in a vocabulary."""
    whole = config.replace(
        paths=tuple(paths),
        builtin=None,
        validation_paths=(),
        test_paths=(),
        max_characters=None,
        split=(1.0, 0.0, 0.0),
        split_seed=0,
    )
    return build_corpus(whole, vocabulary, is_setting=False).splits["train"]


def _without_standard_input(paths: Sequence[str], folder: Path) -> list[str]:
    return [str(spool_standard_input(folder)) if path == "-" else path for path in paths]


def _encode(
    files: TextFiles,
    config: CorpusConfig,
    vocabulary: Vocabulary | None,
    folder: Path,
) -> None:
    """Write the ids of all splits, and `corpus.json` with the rest, to a new `folder`."""
    folder.mkdir()
    symbols = SymbolFile(folder / "symbols")
    line_ends: dict[Path, LineEnds] = {}
    record_counts = None
    if config.has_records:
        builder = RecordBuilder(files, config, line_ends)
        lengths, record_counts = builder.write(symbols, folder)
        ends = np.cumsum(lengths).tolist()
        bounds = list(zip([0, *ends], ends, strict=False))
    else:
        bounds = split_bounds(_append_texts(symbols, files, config, line_ends), config)
    texts = digests_of_groups(files)
    held_out = [symbols.count(start, end) for start, end in bounds[1:]]
    counts = [symbols.counts - sum(held_out), *held_out]
    if vocabulary is None:
        vocabulary = _vocabulary_of(counts, config)
    boundary = boundary_of(config, vocabulary)
    splits: dict[SplitName, tuple[int, int]] = {}
    for name, (start, end), split_counts in zip(SPLITS, bounds, counts, strict=True):
        num_unknown = end - start - int(split_counts[list(vocabulary.symbols)].sum())
        splits[name] = (end - start, num_unknown)
        # Most splits have no unknown characters and need no search.
        unknown_from = start if num_unknown else end
        symbols.write_unknown(unknown_from, end, vocabulary, folder / f"{name}.unknown")
    for name, (start, end) in zip(SPLITS[1:], bounds[1:], strict=True):
        symbols.write_ids(start, end, vocabulary, folder / f"{name}.ids")
    symbols.convert_to_ids(*bounds[0], vocabulary, folder / f"{SPLITS[0]}.ids")
    starts = [start for start, _ in bounds]  # of records, after their rearrangement
    if config.validation_paths or config.test_paths:
        starts = [0, 0, 0]
    else:
        texts = [texts[0]] * len(SPLITS)
    origins = dict(zip(SPLITS, map(Origin, texts, starts), strict=True))
    write_description(
        folder,
        vocabulary,
        splits,
        origins,
        [one for one in _hapaxes(counts[0], vocabulary, config.minimum_count) if one != boundary],
        counted_by_place(all_files(files), line_ends),
        record_counts,
        None if boundary is None else (boundary, end_size(config)),
    )


def _append_texts(
    symbols: SymbolFile,
    files: TextFiles,
    config: CorpusConfig,
    line_ends: dict[Path, LineEnds],
) -> list[int]:
    """Append running text of the training, validation and test files; return their lengths."""
    unlimited = config.replace(max_characters=None)
    limits = config, unlimited, unlimited
    return [
        symbols.append(
            read_symbols(group, limited, files.encodings, line_ends, is_setting=files.is_setting)
        )
        for group, limited in zip(files.groups, limits, strict=True)
    ]


def _vocabulary_of(counts: list[Counts], config: CorpusConfig) -> Vocabulary:
    if config.unit == "byte":
        return Vocabulary.of_bytes()
    split_counts = counts[0] if config.vocabulary_from == "train" else sum(counts[1:], counts[0])
    if (records := Records.of(config)) is not None:  # its boundary is never too rare
        split_counts = split_counts.copy()
        split_counts[ord(records.boundary)] += config.minimum_count
    if split_counts.max() < config.minimum_count:
        raise CorpusError(
            f"no character of the text occurs {config.minimum_count} times; lower "
            "corpus.minimum_count or add text"
        )
    return Vocabulary.from_counts(split_counts, config.minimum_count)


def _hapaxes(counts: Counts, vocabulary: Vocabulary, minimum_count: int) -> list[int]:
    """Return the ids of rare characters: known, but fewer than twice `minimum_count`."""
    if vocabulary.unit == "byte":
        return []
    known_counts = counts[list(vocabulary.symbols)]
    is_rare = (known_counts > 0) & (known_counts < 2 * minimum_count)
    ids: list[int] = (1 + np.flatnonzero(is_rare)).tolist()
    return ids
