"""Read the values of --seeds and --sweep."""

import re
from collections.abc import Sequence
from typing import Any

from charlm.errors import CharlmError
from charlm.formatting import count

_MAX_SEEDS = 1000
"""Largest number of seeds that a range contains."""
_BRACKETS = {"[": "]", "{": "}", "(": ")", '"': '"', "'": "'"}


def series_arguments(seeds: str | None, sweep: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `train_series` that the options give; none without the options."""
    if seeds is None and not sweep:
        return {}
    return {"seeds": parse_seeds(seeds) if seeds else [], "sweep": parse_sweep(sweep)}


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text such as `0-2`, `0,3,7` or `0-2,7` names."""
    seeds: list[int] = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,19})\s*(?:-\s*([0-9]{1,19})\s*)?", item, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise CharlmError(f"--seeds {text}: should be numbers such as 0-2 or 0,3,7")
        if last - first >= _MAX_SEEDS:
            raise CharlmError(f"--seeds {text}: more than {count(_MAX_SEEDS, 'seed')}; give fewer")
        seeds += range(first, last + 1)
    return seeds


def parse_sweep(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each key in texts such as `model.cell=gru,lstm`."""
    sweep: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not (equals and re.fullmatch(r"\w+\.\w+", key)):
            raise CharlmError(
                f"--sweep {text}: should be a key and its values, such as model.cell=gru,lstm"
            )
        if key in sweep:
            raise CharlmError(f"--sweep {key} is given twice; give all its values in one")
        sweep[key] = _split(values)
        if not all(sweep[key]):
            raise CharlmError(f"--sweep {text}: a value is empty; give it, or remove the comma")
    return sweep


def _split(text: str) -> list[str]:
    """Split a text at its commas, except those in brackets and quotes."""
    values, ends = [""], ""
    for character in text:
        if ends and character == ends[-1]:
            ends = ends[:-1]
        elif character in _BRACKETS and ends[-1:] not in ("'", '"'):
            ends += _BRACKETS[character]
        if character == "," and not ends:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]
