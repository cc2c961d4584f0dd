"""Plan a series of runs: each combination of swept settings and seeds, with its name and config."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from charlm.config.load import load_config, override
from charlm.config.schema import Config
from charlm.errors import ConfigError

MAX_RUNS = 1000
"""Largest number of runs of a series."""
_MAX_NAME_CHARACTERS = 40
"""Number of characters of a setting that the name of a run contains."""
_FEWEST_STEM_BYTES = 60
"""Number of bytes of a long stem to keep, however long the settings are."""
_MAX_NAME_BYTES = 240
"""Length of a name without its number; a file name has at most 255 bytes."""


@dataclass(frozen=True)
class SeriesRun:
    """A run of a series."""

    path: Path
    """Its run folder, which may exist already."""
    swept: tuple[tuple[str, str], ...]
    """The swept keys (`section.key`) with their values in this run."""
    config: Config
    """With `auto`, charlm chooses what the settings leave open."""
    settings: tuple[str, ...]
    """All settings that the user gave for this run, as `section.key=value`."""

    @property
    def seed(self) -> int:
        return self.config.training.seed


def plan_series(
    config: str | Path | Config,
    *,
    text: Sequence[str | Path],
    settings: Iterable[str],
    seeds: Iterable[int],
    sweep: Mapping[str, Iterable[Any]],
    folder: Path,
    stem: str,
) -> tuple[SeriesRun, ...]:
    """Return the runs, those of one setting together; raises `ConfigError` for any mistake.

    The names of their folders, in `folder`, begin with `stem`.
    """
    for key, values in sweep.items():
        if isinstance(values, str):
            raise ConfigError(f"sweep: the values of {key} are a list, as in [{values!r}]")
    settings, seeds = list(settings), list(seeds)
    swept = {key: [_written(value) for value in values] for key, values in sweep.items()}
    _check_choices(settings, seeds, swept)
    planned, names = [], set[str]()
    for values in product(*swept.values()):
        variant = tuple(zip(swept, values, strict=True))
        for seed in seeds or (None,):
            own = [*settings, *(f"{key}={value}" for key, value in variant)]
            own += [] if seed is None else [f"training.seed={seed}"]
            if isinstance(config, Config):
                resolved = override(config, own, text)
            else:
                resolved = load_config(config, own, text)
            path = folder / next(n for n in _names(stem, variant, seed) if n not in names)
            names.add(path.name)
            planned.append(SeriesRun(path, variant, resolved, tuple(own)))
    return tuple(planned)


def _check_choices(
    settings: Sequence[str], seeds: Sequence[int], swept: Mapping[str, Sequence[str]]
) -> None:
    """Raise `ConfigError` for choices that exclude each other, and for too many runs."""
    given = {setting.partition("=")[0].strip() for setting in settings}
    if not seeds and not swept:
        raise ConfigError("a series needs seeds, or a key to sweep with its values")
    for key, values in swept.items():
        if key == "training.seed":
            raise ConfigError("training.seed cannot be swept; give --seeds instead")
        if key in given:
            raise ConfigError(f"{key} is both set and swept; give one of them")
        _check_distinct(values, key)
    if seeds and "training.seed" in given:
        raise ConfigError("--seeds and training.seed both give seeds; give one of them")
    _check_distinct(seeds, "--seeds")
    if (number := max(1, len(seeds)) * prod(map(len, swept.values()))) > MAX_RUNS:
        raise ConfigError(f"{number:,} runs are more than {MAX_RUNS:,}; give fewer values or seeds")


def _check_distinct(values: Sequence[str | int], name: str) -> None:
    if len(values) == 0 and name != "--seeds":
        raise ConfigError(f"{name} has no values to sweep; give some, as in {name}=1,2")
    if twice := [value for value in values if values.count(value) > 1]:
        raise ConfigError(f"{name}: {twice[0]} is given twice; give it once")


def _written(value: Any) -> str:
    """Return a value as written in a setting."""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _names(stem: str, variant: Sequence[tuple[str, str]], seed: int | None) -> Iterator[str]:
    """Yield names for a run; the later ones are for settings that look alike in a name."""
    values = [_plain(f"{key.rpartition('.')[2]}-{value}") for key, value in variant]
    name = _shortened(stem, "-".join([*values, *([] if seed is None else [f"s{seed}"])]))
    yield name
    for number in range(2, MAX_RUNS + 2):
        yield f"{name}-{number}"


def _shortened(stem: str, settings: str) -> str:
    """Return the name of a run: cut the end of a long stem, then the beginning of the settings.

    The runs of a series differ most at the end of the settings.
    """
    start, end = stem.encode("utf-8", "surrogatepass"), settings.encode()
    if len(start) + 1 + len(end) <= _MAX_NAME_BYTES:
        return f"{stem}-{settings}"
    start = start[: max(_FEWEST_STEM_BYTES, _MAX_NAME_BYTES - 1 - len(end))]
    end = end[-(_MAX_NAME_BYTES - 1 - len(start)) :]
    return f"{start.decode('utf-8', 'ignore')}-{end.decode('utf-8', 'ignore').lstrip('-')}"


def _plain(text: str) -> str:
    """Return a text as a part of a file name; omit the middle of a long one."""
    plain = re.sub(r"[^\w.+]+", "-", text).strip("-")
    if len(plain) <= _MAX_NAME_CHARACTERS:
        return plain
    half = _MAX_NAME_CHARACTERS // 2
    return f"{plain[:half].rstrip('-')}-{plain[1 - half :].lstrip('-')}"
