"""Read typed quotes, hyphens and dots of a prefix as the typographic ones of a vocabulary.

A keyboard types `'`, `"`, `-` and `...`; many books have only ’, “, ”, — and … in their place.
"""

import re
import warnings
from itertools import chain

from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import VocabularyWarning

_TYPED = re.compile(r"""['"]|-{1,3}|\.{3}""")
_QUOTES = {'"': ("“”", "„“", "„”", "«»"), "'": ("‘’", "‚‘", "‚’", "’’", "‹›")}
"""Pairs of opening and closing quotes."""
_APOSTROPHE = "’"
_DOTS, _DASHES, _HYPHENS = "…", "—–", "‐‑–"
_BEFORE_OPENING = frozenset("([{")
_DASHES_BEFORE = frozenset("-—–")


def with_typographic_characters(text: str, vocabulary: Vocabulary) -> str:
    """Return a prefix with typographic characters for typed ones that the vocabulary lacks.

    A typed character that the vocabulary has stays. Issues a `VocabularyWarning` that names what
    was replaced.
    """
    if vocabulary.unit == "byte":
        return text
    known = frozenset(map(chr, vocabulary.symbols))
    replaced: dict[str, dict[str, None]] = {}
    was_opening, end_of_quote = False, -1

    def typographic(found: re.Match[str]) -> str:
        nonlocal was_opening, end_of_quote
        typed, start, end = found.group(), found.start(), found.end()
        if typed[0] in known:
            return typed
        before, after = text[start - 1 : start], text[end : end + 1]
        is_quote = typed in _QUOTES
        if not is_quote:
            forms = _forms_of_marks(typed, before, after)
        elif start == end_of_quote:  # a quote beside a quote opens or closes as it does
            forms = _forms_of_quote(typed, was_opening, known)
        elif typed == "'" and before.isalpha() and after.isalpha():
            forms = _APOSTROPHE
        else:
            was_opening = _is_opening(before, after)
            forms = _forms_of_quote(typed, was_opening, known)
        if is_quote:
            end_of_quote = end
        form = next((form for form in forms if form in known), typed)
        if form != typed:
            replaced.setdefault(typed, {})[form] = None
        return form

    read = _TYPED.sub(typographic, text)
    if replaced:
        pairs = [f"{typed} read as {' and '.join(forms)}" for typed, forms in replaced.items()]
        warnings.warn(
            f"the prefix: {', '.join(pairs)}; the model does not know what was typed",
            VocabularyWarning,
            stacklevel=2,
        )
    return read


def _is_opening(before: str, after: str) -> bool:
    if before in _DASHES_BEFORE:  # such as in `he said--"no"` and `"I thought--" he said`
        return after.isalnum()
    return not before or before.isspace() or before in _BEFORE_OPENING


def _forms_of_quote(typed: str, is_opening: bool, known: frozenset[str]) -> str:
    """Return the quotes to try: first those of a pair that the vocabulary has."""
    pairs = sorted(_QUOTES[typed], key=lambda pair: not known.issuperset(pair))
    return "".join(pair[0 if is_opening else 1] for pair in pairs) + "".join(chain(*pairs[:1]))


def _forms_of_marks(typed: str, before: str, after: str) -> str:
    if typed[0] == ".":
        return _DOTS
    is_within_word = typed == "-" and before.isalnum() and after.isalnum()
    return _HYPHENS if is_within_word else _DASHES if typed != "-" else _DASHES[::-1]
