"""A text as ids on disk, in training, validation and test parts; and its place in the cache.

The folder that holds the ids is named by a digest of the files' contents and of every setting that
changes the ids, so a changed text is never served stale; digests inside it tell whether it still is
what was written.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from filelock import FileLock

from charlm.bounded import parse_json, read_bounded
from charlm.durable import sync
from charlm.resources import cache_folder
from charlm.vocabulary import Ids, Vocabulary

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
    """Ids of the rare characters that `batches.hapax_dropout` hides, none of bytes: the training
    split holds them, but fewer than twice `minimum_count` times (once, by default)."""


def cached_corpus(fingerprint: str) -> Corpus | None:
    """Open the corpus with this fingerprint if the cache holds it whole."""
    folder = cache_folder() / "corpora" / fingerprint
    try:
        written = read_bounded(folder / "corpus.json", megabytes=19).decode()
        about = parse_json(written, most_numbers=2_400_000)  # a vocabulary, and what is rare in it
        if about.pop("sha256") != _digest_of(about):
            raise ValueError(f"{folder}: no longer what was written")
        vocabulary = Vocabulary.from_json(about["vocabulary"])
        parts: dict[PartName, Part] = {}
        for name in PARTS:
            length, counts = about["parts"][name]
            with (folder / f"{name}.ids").open("rb") as file:  # once: another may take its place
                if os.fstat(file.fileno()).st_mtime_ns != about["written"][name]:
                    raise ValueError(f"{file.name}: no longer as it was written")
                if _digest_of_ids(file, vocabulary) != about["digests"][name]:
                    raise ValueError(f"{file.name}: no longer what was written")
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


def write_about(
    folder: Path,
    vocabulary: Vocabulary,
    parts: dict[PartName, tuple[int, dict[str, int]]],
    hapaxes: Sequence[int],
) -> None:
    """Write `corpus.json` beside the ids of all parts, of each of which length and counts come."""
    files = {name: folder / f"{name}.ids" for name in PARTS}
    digests: dict[PartName, str | None] = {}
    for name, path in files.items():
        with path.open("rb") as file:
            digests[name] = _digest_of_ids(file, vocabulary)
        if digests[name] is None:
            sync(path)
    about = {
        "vocabulary": vocabulary.to_json(),
        "parts": parts,
        "written": {name: file.stat().st_mtime_ns for name, file in files.items()},
        "digests": digests,
        "hapaxes": list(hapaxes),
    }
    about["sha256"] = _digest_of(about)
    (folder / "corpus.json").write_text(json.dumps(about), encoding="utf-8")


def keep_corpus(folder: Path, key: str) -> Corpus:
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


def _digest_of(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _digest_of_ids(file: BinaryIO, vocabulary: Vocabulary) -> str | None:
    """Return the SHA-256 of a file of ids; none of one that would take long to read each time.

    Raises `ValueError` for ids that the vocabulary does not have.
    """
    if os.fstat(file.fileno()).st_size > _MOST_TO_DIGEST:
        return None
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
        if np.frombuffer(block, vocabulary.id_type).max() >= len(vocabulary):
            raise ValueError(f"{file.name}: ids that the vocabulary does not have")
    return digest.hexdigest()


def _map_ids(file: BinaryIO, vocabulary: Vocabulary, length: int) -> Ids:
    if type(length) is not int:
        raise ValueError("not a length")
    if os.fstat(file.fileno()).st_size != length * np.dtype(vocabulary.id_type).itemsize:
        raise ValueError(f"{file.name}: not whole")
    if length == 0:  # no system maps an empty file
        return np.zeros(0, vocabulary.id_type)
    return np.memmap(file, vocabulary.id_type, "r", shape=(length,))
