"""Keep a corpus in the cache, and open it again if it is intact.

The name of its folder is a digest of the contents of the files and of every setting that changes
the ids, so a changed text gets a new folder. Digests in the folder show whether its files have
changed since they were written.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from charlm.corpus.corpus import SPLITS, Corpus, Origin, Split, SplitName
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import sync
from charlm.files.cache_record import claim, make_folder, record_locked
from charlm.files.locations import ANOTHER_CACHE, cache_folder
from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json, read_bounded

_MOST_DIGESTED_BYTES = 64 << 20
"""Bytes of a file above which its digest is not checked, only its length and modification time.

Reading 2 GB takes a second or more, and would be most of the time of a second start. Such a file is
synchronised to disk before it takes its place, so a power cut leaves no part of it unwritten.
"""
_BLOCK_BYTES = 1 << 20
"""Number of bytes to read at a time."""

FILES = (*(f"{name}.{kind}" for name in SPLITS for kind in ("ids", "unknown")), "corpus.json")
"""Names of the files of a corpus in the cache."""
SKETCHES: dict[SplitName, str] = {name: f"{name}.sketch" for name in ("train", "validation")}
"""Names of files that `provenance` may add later."""


def cached_corpus(fingerprint: str) -> Corpus | None:
    """Open the corpus with this fingerprint; return None if the cache has no intact one.

    Raises `CorpusError` if this user has no permission to read it.
    """
    folder = cache_folder() / "corpora" / fingerprint
    try:
        written = as_ascii(read_bounded(folder / "corpus.json", megabytes=19))
        description = parse_json(written, max_numbers=2_400_000)  # a vocabulary and its hapaxes
        digest = item(description, "sha256", str)
        if digest != _digest_of({key: description[key] for key in description if key != "sha256"}):
            raise InvalidDataError(f"{folder}: changed since it was written")
        vocabulary = Vocabulary.from_json(item(description, "vocabulary", dict))
        splits: dict[SplitName, Split] = {}
        for name in SPLITS:
            lengths = item(item(description, "splits", dict), name, list)
            if list(map(type, lengths)) != [int, int]:
                raise InvalidDataError("the lengths of a split are invalid")
            length, num_unknown = lengths
            unknown = _map(folder / f"{name}.unknown", description, UNKNOWN_TYPE, num_unknown)
            check = _IdsCheck(vocabulary, unknown)
            ids = _map(folder / f"{name}.ids", description, vocabulary.id_type, length, check)
            origin = _origin_of(*item(item(description, "origins", dict), name, list))
            splits[name] = Split(ids, vocabulary.sizes, unknown, origin)
        hapaxes = tuple(item(description, "hapaxes", list))
        if not all(type(one) is int and 0 < one < len(vocabulary) for one in hapaxes):
            raise InvalidDataError("hapaxes are outside the vocabulary")
        return Corpus(vocabulary, fingerprint, splits, hapaxes)
    except PermissionError as reason:
        raise CorpusError(
            f"{folder}: could not be read ({reason.strerror}); it belongs to another user, set "
            "CHARLM_CACHE to a folder of your own"
        ) from None
    except (OSError, InvalidDataError):
        return None


def _origin_of(*written: Any) -> Origin:
    if list(map(type, written)) != [str, int] or written[1] < 0:
        raise InvalidDataError("the origin of a text is invalid")
    return Origin(*written)


class _IdsCheck:
    """Raises `InvalidDataError` for ids that no text has; a digest does not exclude them."""

    def __init__(self, vocabulary: Vocabulary, unknown: np.ndarray) -> None:
        sizes = unknown["bytes"]
        if not ((sizes >= 1) & (sizes <= 4)).all():
            raise InvalidDataError("the sizes of unknown characters are invalid")
        self._vocabulary = vocabulary
        self._unknown = unknown["place"]
        self._place = self._found = 0

    def __call__(self, block: bytes) -> None:
        """Check the next ids, given as bytes."""
        ids = np.frombuffer(block, self._vocabulary.id_type)
        if ids.max() >= len(self._vocabulary):
            raise InvalidDataError("ids are outside the vocabulary")
        if self._vocabulary.unknown_id is not None:
            places = self._place + np.flatnonzero(ids == self._vocabulary.unknown_id)
            recorded = self._unknown[self._found : self._found + len(places)]
            if not np.array_equal(recorded, places):
                raise InvalidDataError("the positions of unknown characters are invalid")
            self._found += len(places)
        self._place += len(ids)


def write_description(
    folder: Path,
    vocabulary: Vocabulary,
    splits: dict[SplitName, tuple[int, int]],
    origins: dict[SplitName, Origin],
    hapaxes: Sequence[int],
) -> None:
    """Write `corpus.json` beside the other files of a corpus.

    `splits` gives the number of characters, and of unknown characters, of each split.
    """
    files = [folder / f"{name}.{kind}" for name in SPLITS for kind in ("ids", "unknown")]
    digests: dict[str, str | None] = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = _digest_of_file(file)
        if digests[path.name] is None:
            sync(path)
    description = {
        "vocabulary": vocabulary.to_json(),
        "splits": splits,
        "origins": {name: [origin.digest, origin.start] for name, origin in origins.items()},
        "written": {file.name: file.stat().st_mtime_ns for file in files},
        "digests": digests,
        "hapaxes": list(hapaxes),
    }
    description["sha256"] = _digest_of(description)
    (folder / "corpus.json").write_text(json.dumps(description), encoding="utf-8")


def keep_corpus(folder: Path, key: str) -> Corpus:
    """Move a finished corpus to its place in the cache, unless another process has been faster.

    Raises `CorpusError` if that fails, or if this path has something that charlm did not write.
    """
    target = cache_folder() / "corpora" / key
    with file_errors("be written", target, ANOTHER_CACHE, CorpusError):
        corpus = _put(folder, target)
    assert corpus is not None, "a corpus that was just written is intact"
    return corpus


def _put(folder: Path, target: Path) -> Corpus | None:
    key = target.name
    with record_locked():
        make_folder(target.parent)
        if cached_corpus(key) is None:
            claim(target)
            if target.exists():  # and is damaged
                for name in FILES:  # `corpus.json`, with the digests of the others, comes last
                    (folder / name).replace(target / name)
            else:
                folder.rename(target)
        return cached_corpus(key)


def _digest_of(description: dict[str, Any]) -> str:
    try:
        return hashlib.sha256(json.dumps(description).encode()).hexdigest()
    except RecursionError:  # JSON may be nested as deeply as the parser allows
        raise InvalidDataError("it is nested too deeply") from None


def _digest_of_file(
    file: BufferedReader, on_block: Callable[[bytes], None] = lambda block: None
) -> str | None:
    """Return the SHA-256 of a file, and pass every block to `on_block`; None for a large file.

    Reading a large file at each start would take too long.
    """
    if os.fstat(file.fileno()).st_size > _MOST_DIGESTED_BYTES:
        return None
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        on_block(block)
    return digest.hexdigest()


def _map(
    path: Path,
    description: dict[str, Any],
    kind: Any,
    length: int,
    on_block: Callable[[bytes], None] = lambda block: None,
) -> np.ndarray:
    """Map a file of a corpus to memory; raises `InvalidDataError` if it has changed."""
    with path.open("rb") as file:  # opened once: another file may replace it meanwhile
        status = os.fstat(file.fileno())
        if status.st_mtime_ns != item(description, "written", dict).get(path.name):
            raise InvalidDataError(f"{path}: modified since it was written")
        if status.st_size != length * np.dtype(kind).itemsize:
            raise InvalidDataError(f"{path}: incomplete")
        if _digest_of_file(file, on_block) != item(description, "digests", dict).get(path.name, ""):
            raise InvalidDataError(f"{path}: changed since it was written")
        if length == 0:  # an empty file cannot be mapped
            return np.zeros(0, kind)
        return np.memmap(file, kind, "r", shape=(length,))
