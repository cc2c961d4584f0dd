"""Suggest known names and existing paths for unknown ones."""

import difflib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

_MOST_ENTRIES = 10_000
"""Number of names of one folder to compare."""


def did_you_mean(
    name: str, known: Iterable[str], most: int = 3, least_similarity: float = 0.6
) -> str:
    """Suggest up to `most` similar known names as a question; "" if there are none."""
    return _question(difflib.get_close_matches(name, list(known), most, least_similarity))


def did_you_mean_path(path: Path, beside: Sequence[Path] = ()) -> str:
    """Suggest existing paths similar to a missing one as a question; "" if there are none.

    `beside` are further folders to search, such as that of all runs.
    """
    found = [folder / path for folder in beside if _exists(folder / path)]
    for place in (path, *(folder / path for folder in beside)):
        found += _near(place)
    return _question([*dict.fromkeys(map(str, found))][:3])


def _near(path: Path) -> list[Path]:
    """Replace the first missing component of a path by similar names."""
    with suppress(OSError, ValueError):  # what can be no name of a file
        for parent in reversed(path.parents):
            missing, *rest = path.relative_to(parent).parts
            if (parent / missing).exists():
                continue
            entries = (entry.name for entry in islice(parent.iterdir(), _MOST_ENTRIES))
            names = [name for name in entries if not name.startswith(".")]
            near = difflib.get_close_matches(missing, names, n=3)
            whole = [parent.joinpath(name, *rest) for name in near]
            return [place for place in whole if place.exists()] or [parent / name for name in near]
    return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # what can be no name of a file
        return False


def _question(names: Sequence[str]) -> str:
    if not names:
        return ""
    *others, last = names
    return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
