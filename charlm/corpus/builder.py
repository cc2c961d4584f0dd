"""Build a corpus from a text: decode, count, split and encode it, piece by piece.

The text is decoded once to a file of code points. The vocabulary is counted over the training
split. Then ids replace the code points. Memory does not grow with the text.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.cache import cached_corpus, keep_corpus, write_description
from charlm.corpus.corpus import SPLITS, Corpus, Origin, Split, SplitName
from charlm.corpus.decoding import read_symbols, spool_standard_input, web_pages
from charlm.corpus.encodings import shown_encoding
from charlm.corpus.files import list_of
from charlm.corpus.fingerprints import digests_of_groups, fingerprint_of_files
from charlm.corpus.newlines import LineEnds, line_ends_notice
from charlm.corpus.symbol_file import Counts, SymbolFile
from charlm.corpus.text_files import TextFiles, file_digests, text_files
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError, CorpusWarning, file_errors
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
    files = text_files(config, places, digests, _warn, is_setting=is_setting)
    _warn_of_encodings(files.new_encodings)
    key = fingerprint_of_files(files, vocabulary)
    corpus = cached_corpus(key)
    if corpus is None:
        with (
            building_folder(cache_folder()) as building,
            file_errors("be written", building, ANOTHER_CACHE, CorpusError),
        ):
            _warn_of_web_pages(files.groups, config)
            _encode(files, config, vocabulary, building / "corpus")
            if tuple(digests.of(group) for group in files.groups) != files.contents:
                raise CorpusError("the text changed during reading; start again")
            corpus = keep_corpus(building / "corpus", key)
    digests.remember()
    return replace(corpus, encodings=files.recorded())


def _warn(notice: str) -> None:
    warnings.warn(" ".join(notice.splitlines()), CorpusWarning, stacklevel=2)


def _warn_of_encodings(encodings: dict[Path, str]) -> None:
    """Say which files are read in an encoding that is not UTF-8."""
    for name in dict.fromkeys(encodings.values()):
        paths = [path for path, encoding in encodings.items() if encoding == name]
        _warn(list_of(paths, f"read as {shown_encoding(name)}"))


def _warn_of_web_pages(groups: Sequence[Sequence[Path]], config: CorpusConfig) -> None:
    """Warn of HTML files: few users want to train on the tags."""
    pages = web_pages([path for files in groups for path in files])
    if pages and config.unit == "character":
        remedy = "to read its text alone, convert it first, such as with `pandoc -t plain`"
        _warn(list_of(pages, f"HTML, read with its tags; {remedy}"))


def encode_files(paths: Sequence[str], config: CorpusConfig, vocabulary: Vocabulary) -> Split:
    """Decode whole files with the settings of `config`, and encode them in a vocabulary."""
    whole = config.replace(
        paths=tuple(paths),
        builtin=None,
        validation_paths=(),
        test_paths=(),
        max_characters=None,
        split=(1.0, 0.0, 0.0),
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
    unlimited = config.replace(max_characters=None)
    line_ends: dict[Path, LineEnds] = {}
    limits = config, unlimited, unlimited
    lengths = [
        symbols.append(read_symbols(group, limited, files.encodings, line_ends))
        for group, limited in zip(files.groups, limits, strict=True)
    ]
    texts = digests_of_groups(files)
    is_whole = config.max_characters is None
    if config.line_ends == "unify" and (notice := line_ends_notice(line_ends, is_whole=is_whole)):
        _warn(notice)
    bounds = _split(lengths, config)
    held_out = [symbols.count(start, end) for start, end in bounds[1:]]
    counts = [symbols.counts - sum(held_out), *held_out]
    if vocabulary is None:
        vocabulary = _vocabulary_of(counts, config)
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
    starts = [start for start, _ in bounds]
    if config.validation_paths or config.test_paths:
        starts = [0, 0, 0]
    else:
        texts = [texts[0]] * len(SPLITS)
    origins = dict(zip(SPLITS, map(Origin, texts, starts), strict=True))
    write_description(
        folder, vocabulary, splits, origins, _hapaxes(counts[0], vocabulary, config.minimum_count)
    )


def _split(lengths: list[int], config: CorpusConfig) -> list[tuple[int, int]]:
    """Return start and end of each split; raises `CorpusError` if a split would be too short."""
    total = lengths[0]
    if total == 0:
        raise CorpusError("the text is empty; name another one with --text or corpus.paths")
    if config.validation_paths or config.test_paths:
        ends = np.cumsum(lengths).tolist()
        wanted = [True, bool(config.validation_paths), bool(config.test_paths)]
    else:
        train, validation, _ = config.split
        ends = [int(train * total), int(round(train + validation, 9) * total), total]
        wanted = [fraction > 0 for fraction in config.split]
    bounds = list(zip([0, *ends], ends, strict=False))
    if config.validation_first and not (config.validation_paths or config.test_paths):
        first = ends[1] - ends[0]
        bounds[:2] = (first, ends[1]), (0, first)
    for name, (start, end), is_wanted in zip(SPLITS, bounds, wanted, strict=True):
        if is_wanted and end - start < 2:
            few = f"has {end - start} characters and needs at least 2"
            if sum(wanted) == 1:
                raise CorpusError(f"the text {few}; add text")
            raise CorpusError(
                f"the {name} split of the text {few} (the whole text has {sum(lengths)}); add "
                "text, or change corpus.split"
            )
    return bounds


def _vocabulary_of(counts: list[Counts], config: CorpusConfig) -> Vocabulary:
    if config.unit == "byte":
        return Vocabulary.of_bytes()
    split_counts = counts[0] if config.vocabulary_from == "train" else sum(counts[1:], counts[0])
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
