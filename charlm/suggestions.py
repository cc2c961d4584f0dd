"""Suggest known names and existing paths for unknown ones."""

import difflib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

_MAX_ENTRIES = 10_000
"""Number of names in a folder that are compared, at most."""
_SHORT_NAME_LENGTH = 8
"""Length below which a name is short, in characters."""
_SHORT_NAME_SIMILARITY = 0.75
"""Least similarity of a short name; short names are often similar by chance."""


def did_you_mean(
    name: str, known: Iterable[str], most: int = 3, least_similarity: float = 0.6, start: str = ""
) -> str:
    """Suggest up to `most` similar known names as a question; "" if there are none.

    `start` is written before each name, such as the section before a key.
    """
    return _question([start + one for one in _similar(name, known, least_similarity)[:most]])


def did_you_mean_key(name: str, known: Iterable[str], start: str = "") -> str:
    """Suggest the most similar key, or else up to three that have a similar word; "" if none do."""
    known = list(known)
    near = did_you_mean(name, known, 1, least_similarity=0.5, start=start)
    return near or _question([start + one for one in with_similar_words(name, known)[:3]])


def with_similar_words(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that have words similar to a name, the most similar first.

    For example, `hiden` finds hidden_size. Underscores separate words.
    """
    number = name.count("_") + 1
    found: dict[str, float] = {}
    for other in known:
        words = other.split("_")
        runs = ["_".join(words[first : first + number]) for first in range(len(words))]
        found[other] = max(_similarity(name, run, _SHORT_NAME_SIMILARITY) for run in runs)
    return sorted((other for other in found if found[other]), key=lambda other: -found[other])


def did_you_mean_path(path: Path, beside: Sequence[Path] = (), endings: Sequence[str] = ()) -> str:
    """Suggest existing paths similar to a missing one as a question; "" if there are none.

    `beside` are further folders to search, such as that of all runs. With `endings`, only files
    with one of them are suggested, and folders where one of the path is missing.
    """
    found = [folder / path for folder in beside if _exists(folder / path)]
    for place in (path, *(folder / path for folder in beside)):
        found += _near(place, endings)
    return _question([*dict.fromkeys(map(str, found))][:3])


def _near(path: Path, endings: Sequence[str]) -> list[Path]:
    """Replace the first missing component of a path by similar names."""
    with suppress(OSError, ValueError):  # not a valid file name
        for parent in reversed(path.parents):
            missing, *rest = path.relative_to(parent).parts
            if (parent / missing).exists():
                continue
            entries = (entry.name for entry in islice(parent.iterdir(), _MAX_ENTRIES))
            names = [name for name in entries if not name.startswith(".")]
            if endings and not rest:
                names = [name for name in names if Path(name).suffix in endings]
            near = _similar(missing, names)[:3]
            whole = [parent.joinpath(name, *rest) for name in near]
            return [place for place in whole if place.exists()] or [parent / name for name in near]
    return []


def _similar(name: str, known: Iterable[str], least: float = 0.6) -> list[str]:
    """Return the known names that are similar enough to a name, the most similar first."""
    similarities = {other: _similarity(name, other, least) for other in known}
    found = [other for other in similarities if similarities[other]]
    return sorted(found, key=lambda other: -similarities[other])


def _similarity(name: str, other: str, least: float) -> float:
    """Compare two names without an ending that both have; return 0 if they are not similar."""
    one, two = Path(name), Path(other)
    if one.suffix == two.suffix:
        name, other = one.stem, two.stem
    elif one.stem == two.stem:
        return 1.0
    if len(name) < _SHORT_NAME_LENGTH:
        least = max(least, _SHORT_NAME_SIMILARITY)
    compared = difflib.SequenceMatcher(None, other, name)
    is_near = compared.real_quick_ratio() >= least and compared.quick_ratio() >= least
    return found if is_near and (found := compared.ratio()) >= least else 0.0


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # not a valid file name
        return False


def _question(names: Sequence[str]) -> str:
    if not names:
        return ""
    *first_names, last = names
    return f"did you mean {', '.join(first_names)}{' or ' if first_names else ''}{last}?"
