"""Count misfits: characters that are unlikely in a text, as a wrong encoding gives them.

Encodings of Latin letters differ in few characters. The alphabets of the languages that use an
encoding show which letters do not belong together.
"""

import re
import unicodedata
from collections import Counter
from functools import cache

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
ALPHABETS = {
    **dict.fromkeys(("cp1252", "iso8859-15", "mac-roman", "cp850", "cp437"), _WESTERN),
    **dict.fromkeys(("cp1250", "iso8859-2", "cp852"), _CENTRAL),
    "cp1254": ["çğıİöşüâîû"],  # Turkish
    "cp1257": _BALTIC,
    "iso8859-3": _SOUTHERN,
}
"""For each encoding of Latin letters, the letters beyond ASCII of the languages that use it."""
_FAMILIAR = "".join(_WESTERN)
_MAX_CAPITALS_FRACTION = 0.6
"""Largest fraction of capitals among the letters beyond ASCII."""
_MIN_LETTERS_FRACTION = 0.2
"""Smallest number of letters in another script than Latin, as a fraction of the ASCII letters."""
_ENGLISH = frozenset(("the", "and", "of", "to", "in", "is", "that", "it", "for", "was", "with"))
_MIN_ENGLISH_FRACTION = 0.1
"""Fraction of these words above which a text is English, even with words of other languages."""

_OBSOLETE = frozenset("ฃฅ๏๚๛") | frozenset(map(chr, range(0xFF61, 0xFFA0)))
"""Characters that Thai texts no longer have, and the narrow Katakana of old Japanese terminals."""

_WORD = re.compile(r"[^\W\d_]+")
_WITHIN_WORD = re.compile(r"(?<=[^\W\d_])[^\x00-\x7f](?=[^\W\d_])")
_WORD_MARKS = frozenset("’‘—–…·\u00ad")
_MARKS = _WORD_MARKS | frozenset("‚“”„‹›«»•§©®°£€¡¿†‡™½\u00a0")
"""Marks and signs of texts in Latin letters."""
_SCRIPTS = {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI"}
_FIRST_SYMBOL = "\u2600"
"""First code point of the symbols and of the marks of Chinese, Japanese and Korean."""


def num_misfits(text: str, counts: Counter[str], encoding: str) -> float:
    """Return the number of characters beyond ASCII that a text in this encoding hardly has.

    `counts` are all characters beyond ASCII. An unlikely sign counts half.
    """
    letters = Counter({one: n for one, n in counts.items() if one.isalpha()})
    num_latin = sum(n for one, n in letters.items() if _script(one) == "LATIN")
    num_capitals = sum(n for one, n in letters.items() if one.isupper())
    if num_capitals > _MAX_CAPITALS_FRACTION * letters.total() or (
        not letters and encoding != "cp1252"
    ):
        return float(counts.total())
    wrong = 0.0
    wrong += sum(n for one, n in counts.items() if _is_control(one))
    wrong += sum(map(_num_misplaced, _WORD.findall(text)))
    wrong += sum(map(_is_foreign_to_words, _WITHIN_WORD.findall(text)))
    if alphabets := ALPHABETS.get(encoding):
        wrong += sum(n for one, n in counts.items() if _is_sign(one) and one not in _MARKS) / 2
        if encoding in ("cp1252", "mac-roman") and is_english(text):
            alphabets = [_FAMILIAR]
        wrong += letters.total() - max(_num_of(alphabet, letters) for alphabet in alphabets)
    else:
        num_ascii = sum(n for one, n in Counter(text).items() if one.isascii() and one.isalpha())
        is_rare = letters.total() - num_latin < _MIN_LETTERS_FRACTION * num_ascii
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


def is_english(text: str) -> bool:
    """Return whether common words are as frequent in a text as in English."""
    words = _WORD.findall(text.lower())
    return sum(word in _ENGLISH for word in words) > _MIN_ENGLISH_FRACTION * len(words)
