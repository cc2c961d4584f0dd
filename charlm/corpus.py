"""A text as one stream of ids on disk, split in training, validation and test parts.

The text is decoded once, in pieces, to a file of code points; the vocabulary is counted over the
training part of it; then the code points are looked up, piece by piece, to the ids that take their
place. Memory does not grow with the text. The folder that holds the ids is named by a digest of the
files' contents and of every setting that changes the ids, so a changed text is never served stale;
digests inside it tell whether it still is what was written.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from charlm.bounded import parse_json, read_bounded
from charlm.building import building_folder
from charlm.config import CorpusConfig
from charlm.digests import Digests
from charlm.durable import sync
from charlm.errors import CorpusError, file_errors
from charlm.resources import cache_folder
from charlm.sources import find_files, read_symbols, spool_standard_input
from charlm.symbols import Counts, SymbolFile, size_of
from charlm.vocabulary import Ids, Vocabulary

_FORMAT = 1
"""Part of every key: raise it when the same text and settings would give other ids."""
_MOST_TO_DIGEST = 64 << 20
"""Bytes: of a longer file of ids, only the length and the time are checked each time it is used.

To read 2 GB takes a second or more, which would be most of a second start. What is not checked was
synchronised before it took its place, so that a power cut leaves none of it unwritten.
"""

PartName = Literal["train", "validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Part:
    """A stretch of text as ids, with what was known of it before it became ids."""

    ids: Ids
    num_bytes: int
    """Bytes of the text in UTF-8 (as they are, with `unit: byte`)."""
    first_bytes: int
    """Bytes of the first character alone, which no model is asked to predict."""
    num_unknown: int
    """Characters that the vocabulary does not hold."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Corpus:
    """A vocabulary and the three parts of a text, memory-mapped."""

    vocabulary: Vocabulary
    fingerprint: str
    """Digest of the text and of every setting that changes the ids."""
    parts: dict[PartName, Part]
    hapaxes: tuple[int, ...]
    """Ids of the characters that occur exactly once in the training part, none of bytes."""


def build_corpus(config: CorpusConfig, vocabulary: Vocabulary | None = None) -> Corpus:
    """Read a text into a corpus, or take it from the cache.

    With `vocabulary`, characters are those that it holds; otherwise they are counted.
    Raises `CorpusError` for a text that is missing, unreadable, empty or too short to split.
    """
    with building_folder(cache_folder()) as building:
        groups = [
            find_files(_without_standard_input(config.paths, building), config.builtin),
            find_files(_without_standard_input(config.validation_paths, building)),
            find_files(_without_standard_input(config.test_paths, building)),
        ]
        digests = Digests(cache_folder() / "corpora" / "digests.json")
        key = _fingerprint(digests, groups, config, vocabulary)
        corpus = cached_corpus(key)
        if corpus is None:
            remedy = "free some space or set CHARLM_CACHE"
            with file_errors("be written", building, remedy, CorpusError):
                _encode(groups, config, vocabulary, building / "corpus")
                if _fingerprint(digests, groups, config, vocabulary) != key:
                    raise CorpusError("the text changed while it was read; start again")
                corpus = _keep(building / "corpus", key)
        digests.remember()
        return corpus


def _keep(folder: Path, key: str) -> Corpus:
    """Move a finished corpus to its place in the cache, unless another process was first."""
    target = cache_folder() / "corpora" / key
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / ".lock"):
        if cached_corpus(key) is None:
            shutil.rmtree(target, ignore_errors=True)  # what is there is not whole
            folder.rename(target)
        corpus = cached_corpus(key)
    assert corpus is not None, "what was just written is whole"
    return corpus


def cached_corpus(fingerprint: str) -> Corpus | None:
    """Open the corpus with this fingerprint if the cache holds it whole."""
    folder = cache_folder() / "corpora" / fingerprint
    try:
        written = read_bounded(folder / "corpus.json", megabytes=32).decode()
        about = parse_json(written, most_numbers=2_400_000)  # a vocabulary, and what is rare in it
        if about.pop("sha256") != _digest_of(about):
            raise ValueError(f"{folder}: no longer what was written")
        vocabulary = Vocabulary.from_json(about["vocabulary"])
        parts: dict[PartName, Part] = {}
        for name in PARTS:
            length, counts = about["parts"][name]
            file = folder / f"{name}.ids"
            if file.stat().st_mtime_ns != about["written"][name]:
                raise ValueError(f"{file}: no longer as it was written")
            if _digest_of_ids(file, vocabulary) != about["digests"][name]:
                raise ValueError(f"{file}: no longer what was written")
            parts[name] = Part(_map_ids(file, vocabulary, length), **counts)
            _check_counts(parts[name])
        hapaxes = tuple(about["hapaxes"])
        if not all(type(one) is int and 0 < one < len(vocabulary) for one in hapaxes):
            raise ValueError("hapaxes that the vocabulary does not have")
        return Corpus(vocabulary, fingerprint, parts, hapaxes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _check_counts(part: Part) -> None:
    """Raise `ValueError` for what no text gives: the digests have no key, anybody can make one."""
    length, first, rest = len(part), part.first_bytes, part.num_bytes - part.first_bytes
    if {int} != set(map(type, (part.num_bytes, first, part.num_unknown))):
        raise ValueError("not counts")
    firsts, rests = min(length, 1), max(length - 1, 0)  # characters of one to four bytes
    if not (firsts <= first <= 4 * firsts and rests <= rest <= 4 * rests):
        raise ValueError("not the bytes of so many characters")
    if not 0 <= part.num_unknown <= length:
        raise ValueError("not a number of characters")


def encode_files(paths: Sequence[str], config: CorpusConfig, vocabulary: Vocabulary) -> Corpus:
    """Read files, in the way of `config` but whole, as one test part in a known vocabulary."""
    whole = config.model_copy(
        update={
            "paths": tuple(paths),
            "builtin": None,
            "validation_paths": (),
            "test_paths": (),
            "max_characters": None,
            "split": (0.0, 0.0, 1.0),
        }
    )
    return build_corpus(whole, vocabulary)


def _without_standard_input(paths: Sequence[str], folder: Path) -> list[str]:
    return [str(spool_standard_input(folder)) if path == "-" else path for path in paths]


def _fingerprint(
    digests: Digests,
    groups: list[list[Path]],
    config: CorpusConfig,
    vocabulary: Vocabulary | None,
) -> str:
    # Defaults are left out, so that a key that a later version adds changes no fingerprint.
    places = {"paths", "builtin", "validation_paths", "test_paths"}
    settings = config.model_dump(mode="json", exclude=places, exclude_defaults=True)
    facts = [
        _FORMAT,
        [digests.of(files) for files in groups],
        settings,
        vocabulary.to_json() if vocabulary else None,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _encode(
    groups: list[list[Path]], config: CorpusConfig, vocabulary: Vocabulary | None, folder: Path
) -> None:
    """Write the ids of all parts, and `corpus.json` with the rest, into a new `folder`."""
    folder.mkdir()
    symbols = SymbolFile(folder / "symbols")
    unlimited = config.model_copy(update={"max_characters": None})
    lengths = [
        symbols.append(read_symbols(files, config if files is groups[0] else unlimited))
        for files in groups
    ]
    bounds = _split(lengths, config)
    held_out = [symbols.count(*stretch) for stretch in bounds[1:]]
    counts = [symbols.counts - sum(held_out), *held_out]
    if vocabulary is None:
        vocabulary = _vocabulary_of(counts, config)
    parts = {}
    for name, (start, end), counted in zip(PARTS, bounds, counts, strict=True):
        numbers = {
            "num_bytes": size_of(counted, config.unit),
            "first_bytes": size_of(symbols.count(start, min(start + 1, end)), config.unit),
            "num_unknown": end - start - int(counted[list(vocabulary.symbols)].sum()),
        }
        parts[name] = (end - start, numbers)
    for name, (start, end) in zip(PARTS[1:], bounds[1:], strict=True):
        symbols.write_ids(start, end, vocabulary, folder / f"{name}.ids")
    symbols.become_ids(*bounds[0], vocabulary, folder / f"{PARTS[0]}.ids")
    files = {name: folder / f"{name}.ids" for name in PARTS}
    digests = {name: _digest_of_ids(file, vocabulary) for name, file in files.items()}
    for name in PARTS:
        if digests[name] is None:
            sync(files[name])
    about = {
        "vocabulary": vocabulary.to_json(),
        "parts": parts,
        "written": {name: file.stat().st_mtime_ns for name, file in files.items()},
        "digests": digests,
        "hapaxes": _hapaxes(counts[0], vocabulary),
    }
    about["sha256"] = _digest_of(about)
    (folder / "corpus.json").write_text(json.dumps(about), encoding="utf-8")


def _split(lengths: list[int], config: CorpusConfig) -> list[tuple[int, int]]:
    """Return where each part starts and ends; raises `CorpusError` where one would be too short."""
    total = lengths[0]
    if total == 0:
        raise CorpusError(
            "the text is empty; give one with characters in it (--text or corpus.paths)"
        )
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
    for name, (start, end), is_wanted in zip(PARTS, bounds, wanted, strict=True):
        if is_wanted and end - start < 2:
            raise CorpusError(
                f"the {name} part of the text has {end - start} characters and needs at least 2 "
                f"(the whole text has {sum(lengths)}); give more text, or another corpus.split"
            )
    return bounds


def _vocabulary_of(counts: list[Counts], config: CorpusConfig) -> Vocabulary:
    if config.unit == "byte":
        return Vocabulary.of_bytes()
    counted = counts[0] if config.vocabulary_from == "train" else sum(counts[1:], counts[0])
    if counted.max() < config.minimum_count:
        raise CorpusError(
            f"no character of the text occurs {config.minimum_count} times; lower "
            "corpus.minimum_count or give more text"
        )
    return Vocabulary.from_counts(counted, config.minimum_count)


def _hapaxes(counts: Counts, vocabulary: Vocabulary) -> list[int]:
    if vocabulary.unit == "byte":
        return []
    of_known = counts[list(vocabulary.symbols)]
    ids: list[int] = (1 + np.flatnonzero(of_known == 1)).tolist()
    return ids


def _digest_of(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _digest_of_ids(path: Path, vocabulary: Vocabulary) -> str | None:
    """Return the SHA-256 of a file of ids; none of one that would take long to read each time.

    Raises `ValueError` for ids that the vocabulary does not have.
    """
    if path.stat().st_size > _MOST_TO_DIGEST:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            if np.frombuffer(block, vocabulary.id_type).max() >= len(vocabulary):
                raise ValueError(f"{path}: ids that the vocabulary does not have")
    return digest.hexdigest()


def _map_ids(path: Path, vocabulary: Vocabulary, length: int) -> Ids:
    if type(length) is not int:
        raise ValueError("not a length")
    if path.stat().st_size != length * np.dtype(vocabulary.id_type).itemsize:
        raise ValueError(f"{path}: not whole")
    if length == 0:  # no system maps an empty file
        return np.zeros(0, vocabulary.id_type)
    return np.memmap(path, vocabulary.id_type, "r", shape=(length,))
