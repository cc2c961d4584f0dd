"""Choose records for the splits of a text: at random, and equal ones for the same split."""

import hashlib
import unicodedata
from array import array

import numpy as np
from jaxtyping import Int8, Int64, UInt64

from charlm.errors import CorpusError
from charlm.formatting import count

Hashes = UInt64[np.ndarray, " _"]
Assignment = Int8[np.ndarray, " records"]
"""Number of the split, in `SPLITS`, of each record."""


class RecordList:
    """The lengths and the hashes of records, in the order of the text; 24 bytes for each."""

    def __init__(self, seed: int) -> None:
        """The hashes depend on the `seed`: their order is the random order of the records."""
        self._key = seed.to_bytes(64, "big").lstrip(b"\0")[-64:]
        self._lengths, self._hashes, self._folded = array("q"), array("Q"), array("Q")

    def add(self, record: str) -> None:
        self._lengths.append(len(record))
        self._hashes.append(self._hash(record))
        folded = _nfkc(" ".join(_nfkc(record).casefold().split()))
        self._folded.append(self._hash(folded) if folded != record else self._hashes[-1])

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> Int64[np.ndarray, " records"]:
        """Number of characters of each record, its end included."""
        return np.array(self._lengths, np.int64) + 1

    @property
    def hashes(self) -> Hashes:
        return np.array(self._hashes, np.uint64)

    @property
    def folded(self) -> Hashes:
        """Hashes of the records in the normal form NFKC, without case and with single spaces."""
        return np.array(self._folded, np.uint64)

    def _hash(self, record: str) -> int:
        data = record.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=array("Q").itemsize, key=self._key).digest()
        return int.from_bytes(digest, "big")


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def choose_splits(records: RecordList, split: tuple[float, float, float]) -> Assignment:
    """Return the split of each record: whole groups of equal ones, in the order of their hashes.

    So the order of the text does not matter, and most records keep their split when it grows. The
    fractions of characters are met as closely as groups allow. Raises `CorpusError` if there are
    fewer different records than splits.
    """
    _, group_of = np.unique(records.hashes, return_inverse=True)
    weights = np.bincount(group_of, records.lengths).astype(np.int64)
    wanted = [fraction > 0 for fraction in split]
    if len(weights) < sum(wanted):
        different = "different record" if len(weights) < len(records) else "record"
        raise CorpusError(
            f"the text has {count(len(weights), different)}, and its {sum(wanted)} splits need at "
            "least one each; add records, check corpus.records, or change corpus.split"
        )
    chosen = np.zeros(len(weights), np.int8)
    for number in (2, 1):
        if wanted[number]:
            free = np.flatnonzero(chosen == 0)
            target = split[number] * float(weights.sum())
            chosen[free[_fitting(weights[free], target, kept=sum(wanted[:number]))]] = number
    assignment: Assignment = chosen[group_of]
    return assignment


def _fitting(
    weights: Int64[np.ndarray, " groups"], target: float, kept: int
) -> Int64[np.ndarray, " chosen"]:
    """Choose at least one group, so that the weights add up to about `target`; leave `kept`.

    Each that still fits is taken, in their order; then the lightest of the others if the sum comes
    closer by it.
    """
    left, taken = np.arange(len(weights)), np.zeros(0, np.int64)
    while (fits := weights[left] <= target).any():
        left = left[int(fits.argmax()) :]  # what does not fit now never does
        number = int(np.searchsorted(np.cumsum(weights[left]), target, "right"))
        taken, target = (
            np.append(taken, left[:number]),
            target - float(weights[left[:number]].sum()),
        )
        left = left[number:]
    others = np.setdiff1d(np.arange(len(weights)), taken)
    if len(others):
        lightest = others[weights[others].argmin()]
        if not len(taken) or weights[lightest] < 2 * target:
            taken = np.append(taken, lightest)
    return taken[: len(weights) - kept]
