"""Keep a corpus in the cache, and open it again if it is intact.

The name of its folder is a digest of the contents of the files and of every setting that changes
the ids, so a changed text gets a new folder. Digests in the folder show whether its files have
changed since they were written.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charlm.corpus.cache_files import digest_of_file, map_file
from charlm.corpus.corpus import SPLITS, Corpus, Origin, RecordCounts, Split, SplitName
from charlm.corpus.ids_check import IdsCheck
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Sizes, Vocabulary
from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import sync
from charlm.files.cache_record import claim, make_folder, record_locked
from charlm.files.locations import ANOTHER_CACHE, cache_folder
from charlm.files.untrusted import (
    InvalidDataError,
    as_ascii,
    checked,
    item,
    parse_json,
    read_bounded,
)

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
        description = parse_json(
            written, max_numbers=2_400_000
        )  # a vocabulary, together with its hapaxes
        digest = item(description, "sha256", str)
        if digest != _digest_of({key: description[key] for key in description if key != "sha256"}):
            raise InvalidDataError(f"{folder}: changed since it was written")
        vocabulary = Vocabulary.from_json(item(description, "vocabulary", dict))
        boundary, sizes = _boundary_of(description, vocabulary)
        splits: dict[SplitName, Split] = {}
        for name in SPLITS:
            lengths = item(item(description, "splits", dict), name, list)
            if list(map(type, lengths)) != [int, int]:
                raise InvalidDataError("the lengths of a split are invalid")
            length, num_unknown = lengths
            unknown = map_file(folder / f"{name}.unknown", description, UNKNOWN_TYPE, num_unknown)
            check = IdsCheck(vocabulary, unknown)
            ids = map_file(folder / f"{name}.ids", description, vocabulary.id_type, length, check)
            origin = _origin_of(*item(item(description, "origins", dict), name, list))
            splits[name] = Split(ids, sizes, unknown, origin, boundary)
        hapaxes = tuple(item(description, "hapaxes", list))
        if not all(type(one) is int and 0 < one < len(vocabulary) for one in hapaxes):
            raise InvalidDataError("hapaxes are outside the vocabulary")
        by_default: dict[str, Any] = {"line_ends": []}  # an entry of an earlier version has none
        counted = item(by_default | description, "line_ends", list)
        line_ends = tuple(map(_line_ends_of, counted))
        records = None
        if "records" in description:
            records = checked(RecordCounts, item(description, "records", dict))
        return Corpus(vocabulary, fingerprint, splits, hapaxes, line_ends, records=records)
    except PermissionError as reason:
        raise CorpusError(
            f"{folder}: could not be read ({reason.strerror}); it belongs to another user, set "
            "CHARLM_CACHE to a folder of your own"
        ) from None
    except (OSError, InvalidDataError):
        return None


def _boundary_of(description: Any, vocabulary: Vocabulary) -> tuple[int | None, Sizes]:
    """Return the id of the boundary of records, if there is one, and the sizes of all symbols."""
    if "boundary" not in description:
        return None, vocabulary.sizes
    written = item(description, "boundary", list)
    if list(map(type, written)) != [int, int] or not 0 <= written[0] < len(vocabulary):
        raise InvalidDataError("the boundary is outside the vocabulary")
    sizes = vocabulary.sizes.copy()
    sizes[written[0]] = min(max(written[1], 0), 255)
    return written[0], sizes


def _origin_of(*written: Any) -> Origin:
    if list(map(type, written)) != [str, int] or written[1] < 0:
        raise InvalidDataError("the origin of a text is invalid")
    return Origin(*written)


def _line_ends_of(written: Any) -> tuple[int, int, int]:
    if type(written) is not list or list(map(type, written)) != [int] * 3 or min(written) < 0:
        raise InvalidDataError("the line ends of a file are invalid")
    place, returns, windows = written
    return place, returns, windows


def write_description(
    folder: Path,
    vocabulary: Vocabulary,
    splits: dict[SplitName, tuple[int, int]],
    origins: dict[SplitName, Origin],
    hapaxes: Sequence[int],
    line_ends: Sequence[tuple[int, int, int]],
    records: RecordCounts | None = None,
    boundary: tuple[int, int] | None = None,
) -> None:
    """Write `corpus.json` beside the other files of a corpus.

    `splits` gives the number of characters, and of unknown characters, of each split; `line_ends`
    are those of `newlines.counted_by_place`. For `records`, `boundary` is the id of their boundary,
    and the number of bytes that it stands for.
    """
    files = [folder / f"{name}.{kind}" for name in SPLITS for kind in ("ids", "unknown")]
    digests: dict[str, str | None] = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = digest_of_file(file)
        if digests[path.name] is None:
            sync(path)
    description = {
        "vocabulary": vocabulary.to_json(),
        "splits": splits,
        "origins": {name: [origin.digest, origin.start] for name, origin in origins.items()},
        "written": {file.name: file.stat().st_mtime_ns for file in files},
        "digests": digests,
        "hapaxes": list(hapaxes),
        "line_ends": line_ends,
    }
    if records is not None:
        description["records"] = asdict(records)
        description["boundary"] = boundary
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
