"""Record which texts the weights of a model have seen, by content.

Every checkpoint has a `Record` of each text: those of the run itself, and those of its initial
model and teachers. Paths do not matter: a record contains a digest of the text, the range of its
characters, and a sketch of its passages.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.cache import SKETCHES
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.shingles import MAX_ANCHOR_BITS, Sketch, sketch
from charlm.corpus.vocabulary import Vocabulary
from charlm.files.build_folder import built_in
from charlm.files.locations import cache_folder
from charlm.files.untrusted import InvalidDataError, item, read_bounded

Use = Literal["learnt from", "followed", "chosen on", "fitted on"]
"""Use of a text. `followed`: the model was adapted to it by `eval --dynamic --save`."""
Through = Literal["", "teacher", "start"]
"""Owner of a text: the run itself, a teacher, or the initial model."""
LEARNT: tuple[Use, ...] = ("learnt from", "followed")
"""Uses that change weights."""


@dataclass(frozen=True)
class Record:
    """A text that a model has seen, and its use."""

    name: str = field(compare=False)
    """Name in messages; a copy of the text may have another name."""
    use: Use
    digest: str
    start: int
    end: int
    sketch: Sketch = field(compare=False, repr=False)
    through: Through = ""
    paths: tuple[str, ...] = field(compare=False, default=())
    """Paths of a text that the model was adapted to, if it is not a split of the training text."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON, without the hashes of its sketch."""
        return {
            "name": self.name,
            "use": self.use,
            "through": self.through,
            "digest": self.digest,
            "start": self.start,
            "end": self.end,
            "anchor_bits": self.sketch.anchor_bits,
            "paths": self.paths,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any], hashes: np.ndarray) -> "Record":
        """Restore a record; raises `InvalidDataError` for invalid data."""
        name, digest = item(fields, "name", str), item(fields, "digest", str)
        paths = tuple(item(fields, "paths", list))
        use: Any = fields.get("use")
        through: Any = fields.get("through")
        start, end, bits = (item(fields, key, int) for key in ("start", "end", "anchor_bits"))
        if not all(type(path) is str for path in paths):
            raise InvalidDataError("a record of a text has invalid paths")
        if use not in get_args(Use) or through not in get_args(Through):
            raise InvalidDataError("a record of a text has an unknown use")
        if not 0 <= start <= end:
            raise InvalidDataError("a record of a text has an invalid range")
        if not 0 <= bits <= 16 or hashes.dtype != np.int64 or hashes.ndim != 1:
            raise InvalidDataError("a record of a text has an invalid sketch")
        its_sketch = Sketch(hashes.view(np.uint64), bits)
        return cls(name, use, digest, start, end, its_sketch, through, paths)


def records_of(corpus: Corpus, config: CorpusConfig) -> tuple[Record, ...]:
    """Return the records of the text of a run: its training split and its validation split."""
    uses: dict[SplitName, Use] = {"train": "learnt from", "validation": "chosen on"}
    return tuple(
        _record(name_of_split(name, config), use, corpus.splits[name], _cached_sketch(corpus, name))
        for name, use in uses.items()
        if len(corpus.splits[name])
    )


def adaptation_record(
    name: str, paths: tuple[str, ...], split: Split, vocabulary: Vocabulary
) -> Record:
    """Return the record of a text that a model was adapted to while it was scored."""
    read = _record(name, "followed", split, sketch(split.ids, vocabulary, split.boundary))
    return replace(read, paths=paths)


def _record(name: str, use: Use, split: Split, its_sketch: Sketch) -> Record:
    origin = split.origin
    return Record(name, use, origin.digest, origin.start, origin.start + len(split), its_sketch)


def inherit(records: Iterable[Record], through: Through) -> tuple[Record, ...]:
    """Return the records of a teacher or initial model, marked with their owner."""
    return tuple(replace(one, through=one.through or through) for one in records)


def merge(*groups: Iterable[Record]) -> tuple[Record, ...]:
    """Merge records without duplicates; a record of the run itself replaces an inherited one."""
    kept: dict[Record, Record] = {}
    for record in chain(*groups):
        same = replace(record, through="")
        if same not in kept or not record.through:
            kept[same] = record
    return tuple(kept.values())


def mark_fitted(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records of a mixture, which is fitted on the split that selects its members."""
    return tuple(
        replace(one, use="fitted on") if (one.use, one.through) == ("chosen on", "") else one
        for one in records
    )


def name_of_split(split: SplitName, config: CorpusConfig) -> str:
    """Return the name of the text that a split belongs to."""
    paths = {"validation": config.validation_paths, "test": config.test_paths}.get(split, ())
    return name_of(paths or config.paths) or str(config.builtin)


def name_of(paths: Sequence[str | Path]) -> str:
    """Return the names of up to three files without their folders, and how many more there are."""
    names = ["standard input" if path == "-" else Path(path).name for path in map(str, paths)]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _cached_sketch(corpus: Corpus, name: SplitName) -> Sketch:
    """Return the sketch of a split from the cache; compute and cache it if it is missing."""
    file = cache_folder() / "corpora" / corpus.fingerprint / SKETCHES[name]
    with suppress(OSError):
        data = read_bounded(file, 1)
        digest, body = data[:32], data[32:]
        is_whole = len(body) % 8 == 1 and hashlib.sha256(body).digest() == digest
        if is_whole and body[0] <= MAX_ANCHOR_BITS:
            return Sketch(np.frombuffer(body[1:], "<u8").astype(np.uint64), body[0])
    made = sketch(corpus.splits[name].ids, corpus.vocabulary, corpus.boundary)
    body = bytes([made.anchor_bits]) + made.hashes.astype("<u8").tobytes()
    with suppress(OSError), built_in(cache_folder()) as folder:  # it only saves time
        (folder / file.name).write_bytes(hashlib.sha256(body).digest() + body)
        (folder / file.name).replace(file)
    return made
