"""Recognise texts in encodings older than UTF-8 by the characters that each encoding gives.

charset-normalizer measures how disordered a text looks in an encoding. Western, Central European
and Baltic encodings differ in few letters, and texts look orderly in several of them: there the
alphabets of languages decide. If encodings that give different texts remain, none is chosen.
"""

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from charset_normalizer import from_bytes

from charlm.corpus.misfits import ALPHABETS, is_english, num_misfits

_ALPHABETIC = (
    *("cp1251", "koi8-r", "koi8-u", "cp866", "iso8859-5"),
    *("cp1253", "cp1255", "cp1256", "iso8859-6", "cp874"),
)
"""Encodings of Cyrillic, Greek, Hebrew, Arabic and Thai."""
_CANDIDATES = (*ALPHABETS, *_ALPHABETIC, "gb18030", "big5", "cp932", "euc_jp", "cp949")

_RARE = frozenset(("mac-roman", "cp850", "cp437", "cp852", "iso8859-3"))
"""Encodings of DOS and of old Macs, and other rare ones."""
_MIN_CHARACTERS = 4
"""Number of characters beyond ASCII that make a common encoding of Latin letters evident."""
_MIN_CHARACTERS_OF_OTHERS = 20
"""Number of characters beyond ASCII that make a rare encoding, or one of another script, evident.
"""
_MIN_FIT = 0.95
"""Smallest fraction of the characters beyond ASCII that fit in an evident reading."""
_MAX_EXTRA_MISFITS = 2
"""Largest number of misfits that a possible reading may have beyond those of the best one."""
_CHAOS_MARGIN, _COHERENCE_MARGIN = 0.05, 0.1
"""Differences of charset-normalizer's measures that show which of two readings is better."""
_MIN_COHERENCE = 0.1
"""Smallest coherence of a text in a language."""


@dataclass(frozen=True)
class Reading:
    """A text as one encoding reads it."""

    encoding: str
    text: str
    misfits: float
    """Number of characters beyond ASCII that are unlikely where they are."""
    size: int
    """Number of characters beyond ASCII."""
    chaos: float
    """charset-normalizer's measure of disorder: 0 for an orderly text."""
    coherence: float
    """charset-normalizer's measure of similarity to a language."""

    @property
    def fit(self) -> float:
        """Fraction of the characters beyond ASCII that are likely where they are."""
        return 1 - self.misfits / max(1, self.size)


def readings(sample: bytes) -> list[Reading]:
    """Return the possible readings of a text that is not UTF-8, the likeliest first."""
    found = [reading for name in _CANDIDATES if (reading := _reading(sample, name)) is not None]
    return sorted(found, key=lambda one: (-one.fit, one.chaos))


def evident(found: Sequence[Reading]) -> Reading | None:
    """Return the reading that is evidently right; None if there is none, or more than one."""
    chosen = _choice(found)
    return chosen if chosen is not None and _has_evidence(chosen) else None


def _choice(found: Sequence[Reading]) -> Reading | None:
    fitting = [one for one in found if _is_fitting(one)]
    if not fitting:
        return None
    best, least = fitting[0], min(one.chaos for one in fitting)
    likely = [
        one
        for one in fitting
        if one.chaos <= least + _CHAOS_MARGIN
        and one.misfits <= best.misfits + _MAX_EXTRA_MISFITS
        and (one.fit == best.fit or _alphabets(one) is not _alphabets(best))
    ]
    first = min(likely, key=lambda one: _CANDIDATES.index(one.encoding))
    if all(one.text == first.text for one in likely):
        return first
    if first.encoding == "cp1252" and is_english(first.text):
        return first
    if any(one.encoding not in _ALPHABETIC for one in likely):
        return None
    most = max(likely, key=lambda one: one.coherence)
    others = [one for one in likely if one.text != most.text]
    is_clear = all(one.coherence <= most.coherence - _COHERENCE_MARGIN for one in others)
    return most if is_clear else None


def _is_fitting(reading: Reading) -> bool:
    is_language = reading.encoding not in _ALPHABETIC or reading.coherence >= _MIN_COHERENCE
    return is_language and reading.fit >= _MIN_FIT


def _has_evidence(reading: Reading) -> bool:
    is_common = bool(_alphabets(reading)) and reading.encoding not in _RARE
    return reading.size >= (_MIN_CHARACTERS if is_common else _MIN_CHARACTERS_OF_OTHERS)


def _alphabets(reading: Reading) -> Sequence[str]:
    return ALPHABETS.get(reading.encoding, ())


def _reading(sample: bytes, encoding: str) -> Reading | None:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return None
    match = from_bytes(
        sample,
        threshold=0.4,
        cp_isolation=[encoding],
        preemptive_behaviour=False,
        enable_fallback=False,
    ).best()
    if match is None:
        return None
    counts = Counter({one: n for one, n in Counter(text).items() if one > "\x7f"})
    misfits = num_misfits(text, counts, encoding)
    return Reading(encoding, text, misfits, counts.total(), match.chaos, match.coherence)
