"""Recognise texts in encodings older than UTF-8 by the characters that each encoding gives.

charset-normalizer measures how disordered a text looks in an encoding. Western, Central European
and Baltic encodings differ in few letters, and texts look orderly in several of them: there the
alphabets of languages decide. If encodings that give different texts remain, none is chosen.
"""

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from charset_normalizer import from_bytes

_WESTERN = [
    *("àâæçéèêëîïôœùûü", "äöüßéà", "áéíñóúüªº", "àèéìíîòóùú", "áâãàçéêíóôõúªº", "åäöæøé"),
    *("áðéíóúýþæö", "éëïöóüèêç", "àçéèíïóòúü·", "äöõüšž"),
]
"""Letters beyond ASCII of French, German, Spanish, Italian, Portuguese, Scandinavian languages,
Icelandic, Dutch, Catalan and Estonian."""
_CENTRAL = ["ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž"]
"""Letters beyond ASCII of Polish, Czech, Slovak, Hungarian, Romanian and Croatian."""
_SOUTHERN = ["ĉĝĥĵŝŭ", "ċġħż"]
"""Letters beyond ASCII of Esperanto and Maltese."""
_BALTIC = ["ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"]
"""Letters beyond ASCII of Lithuanian, Latvian and Estonian."""
_ALPHABETS = {
    **dict.fromkeys(("cp1252", "iso8859-15", "mac-roman", "cp850", "cp437"), _WESTERN),
    **dict.fromkeys(("cp1250", "iso8859-2", "cp852"), _CENTRAL),
    "cp1254": ["çğıİöşüâîû"],  # Turkish
    "cp1257": _BALTIC,
    "iso8859-3": _SOUTHERN,
}
"""Alphabets of the encodings of Latin letters."""
_ALPHABETIC = (
    *("cp1251", "koi8-r", "koi8-u", "cp866", "iso8859-5"),
    *("cp1253", "cp1255", "cp1256", "iso8859-6", "cp874"),
)
"""Encodings of Cyrillic, Greek, Hebrew, Arabic and Thai."""
_CANDIDATES = (*_ALPHABETS, *_ALPHABETIC, "gb18030", "big5", "cp932", "euc_jp", "cp949")
_FAMILIAR = "".join(_WESTERN)

_FEWEST_CHARACTERS = 4
"""Number of characters beyond ASCII below which no encoding is evident."""
_RARE = frozenset(("mac-roman", "cp850", "cp437", "cp852", "iso8859-3"))
"""Encodings of DOS, of old Macs, and of few texts."""
_FEWEST_OF_OTHERS = 20
"""The same for these, and for other letters than Latin ones, which more encodings have."""
_LEAST_FIT = 0.95
"""Fraction of the characters beyond ASCII that fit in an evident reading."""
_MOST_EXTRA_MISFITS = 2
"""Number of misfits by which a possible reading may exceed the best one."""
_CHAOS_MARGIN, _COHERENCE_MARGIN, _LEAST_COHERENCE = 0.05, 0.1, 0.1
"""Differences of charset-normalizer's measures that are evidence; the coherence of a language."""
_MOST_CAPITALS = 0.6
"""Largest fraction of capitals among the letters beyond ASCII."""
_FEWEST_LETTERS = 0.2
"""Smallest number of letters in another script than Latin, as a fraction of the ASCII letters."""
_ENGLISH = frozenset(("the", "and", "of", "to", "in", "is", "that", "it", "for", "was", "with"))
_LEAST_ENGLISH = 0.1
"""Fraction of such words above which a text is English, with words of other languages."""

_OBSOLETE = frozenset("ฃฅ๏๚๛") | frozenset(map(chr, range(0xFF61, 0xFFA0)))
"""Characters that Thai texts no longer have, and the narrow Katakana of old Japanese terminals."""

_WORD = re.compile(r"[^\W\d_]+")
_WITHIN_WORD = re.compile(r"(?<=[^\W\d_])[^\x00-\x7f](?=[^\W\d_])")
_WORD_MARKS = frozenset("’‘—–…·\u00ad")
_MARKS = _WORD_MARKS | frozenset("‚“”„‹›«»•§©®°£€¡¿†‡™½\u00a0")
"""Marks and signs of texts in Latin letters."""
_SCRIPTS = {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI"}
_FIRST_SYMBOL = "\u2600"
"""Character from which on signs are symbols, or marks of Chinese, Japanese and Korean."""


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
    """charset-normalizer's measure of likeness to a language."""

    @property
    def fit(self) -> float:
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
        and one.misfits <= best.misfits + _MOST_EXTRA_MISFITS
        and (one.fit == best.fit or _alphabets(one) is not _alphabets(best))
    ]
    first = min(likely, key=lambda one: _CANDIDATES.index(one.encoding))
    if all(one.text == first.text for one in likely):
        return first
    if first.encoding == "cp1252" and _is_english(first.text):
        return first
    if any(one.encoding not in _ALPHABETIC for one in likely):
        return None
    most = max(likely, key=lambda one: one.coherence)
    others = [one for one in likely if one.text != most.text]
    is_clear = all(one.coherence <= most.coherence - _COHERENCE_MARGIN for one in others)
    return most if is_clear else None


def _is_fitting(reading: Reading) -> bool:
    is_language = reading.encoding not in _ALPHABETIC or reading.coherence >= _LEAST_COHERENCE
    return is_language and reading.fit >= _LEAST_FIT


def _has_evidence(reading: Reading) -> bool:
    is_common = bool(_alphabets(reading)) and reading.encoding not in _RARE
    return reading.size >= (_FEWEST_CHARACTERS if is_common else _FEWEST_OF_OTHERS)


def _alphabets(reading: Reading) -> Sequence[str]:
    return _ALPHABETS.get(reading.encoding, ())


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
    misfits = _misfits(text, counts, encoding)
    return Reading(encoding, text, misfits, counts.total(), match.chaos, match.coherence)


def _misfits(text: str, counts: Counter[str], encoding: str) -> float:
    """Count characters beyond ASCII that a text in this encoding would hardly have; at most all."""
    letters = Counter({one: n for one, n in counts.items() if one.isalpha()})
    num_latin = sum(n for one, n in letters.items() if _script(one) == "LATIN")
    num_capitals = sum(n for one, n in letters.items() if one.isupper())
    if num_capitals > _MOST_CAPITALS * letters.total() or (not letters and encoding != "cp1252"):
        return float(counts.total())
    wrong = 0.0
    wrong += sum(n for one, n in counts.items() if _is_control(one))
    wrong += sum(map(_num_misplaced, _WORD.findall(text)))
    wrong += sum(map(_is_foreign_to_words, _WITHIN_WORD.findall(text)))
    if alphabets := _ALPHABETS.get(encoding):
        wrong += sum(n for one, n in counts.items() if _is_sign(one) and one not in _MARKS) / 2
        if encoding in ("cp1252", "mac-roman") and _is_english(text):
            alphabets = [_FAMILIAR]
        wrong += letters.total() - max(_num_of(alphabet, letters) for alphabet in alphabets)
    else:
        num_ascii = sum(n for one, n in Counter(text).items() if one.isascii() and one.isalpha())
        is_rare = letters.total() - num_latin < _FEWEST_LETTERS * num_ascii
        wrong += counts.total() if is_rare else num_latin
        wrong += sum(n for one, n in counts.items() if one in _OBSOLETE)
    return min(wrong, float(counts.total()))


def _num_of(alphabet: str, letters: Counter[str]) -> int:
    return sum(n for one, n in letters.items() if one in alphabet or one.lower() in alphabet)


def _num_misplaced(word: str) -> int:
    """Return the number of characters beyond ASCII of a word that mixes scripts or cases."""
    if word.isascii():
        return 0
    is_mixed = len(set(map(_script, word)) & _SCRIPTS) > 1
    is_mixed |= not word.isupper() and any(map(str.isupper, word[1:]))
    return sum(one > "\x7f" for one in word) if is_mixed else 0


def _is_foreign_to_words(mark: str) -> bool:
    is_number = mark < _FIRST_SYMBOL and unicodedata.category(mark) == "No"
    return (_is_sign(mark) or is_number) and mark not in _WORD_MARKS


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


@cache
def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")


@cache
def _is_sign(character: str) -> bool:
    return character < _FIRST_SYMBOL and unicodedata.category(character)[0] in "PS"


def _is_english(text: str) -> bool:
    words = _WORD.findall(text.lower())
    return sum(word in _ENGLISH for word in words) > _LEAST_ENGLISH * len(words)
