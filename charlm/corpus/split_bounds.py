"""Divide a text into training, validation and test splits."""

from collections.abc import Sequence

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.corpus import SPLITS
from charlm.errors import CorpusError
from charlm.formatting import count


def split_bounds(lengths: Sequence[int], config: CorpusConfig) -> list[tuple[int, int]]:
    """Return start and end of each split in the files, which are read one after another.

    `lengths` are the lengths of the training, validation and test files. Without separate files,
    the config divides the training files. Raises `CorpusError` if a split would be too short.
    """
    total = lengths[0]
    if total == 0:
        raise CorpusError(describe_empty(config.paths))
    if config.validation_paths or config.test_paths:
        ends = np.cumsum(lengths).tolist()
        wanted = [True, bool(config.validation_paths), bool(config.test_paths)]
    else:
        train, validation, _ = config.split
        ends = [int(train * total), int(round(train + validation, 9) * total), total]
        wanted = [fraction > 0 for fraction in config.split]
    bounds = list(zip([0, *ends], ends, strict=False))
    if config.validation_first and not (config.validation_paths or config.test_paths):
        first = ends[1] - ends[0]
        bounds[:2] = (first, ends[1]), (0, first)
    for name, (start, end), is_wanted in zip(SPLITS, bounds, wanted, strict=True):
        if is_wanted and end - start < 2:
            few = f"has {count(end - start, 'character')} and needs at least 2"
            if sum(wanted) == 1:
                raise CorpusError(f"the text {few}; add text")
            raise CorpusError(
                f"the {name} split of the text {few} (the whole text has {sum(lengths):,}); add "
                "text, or change corpus.split"
            )
    return bounds


def describe_empty(paths: Sequence[str]) -> str:
    """Say which text is empty: `-` is standard input."""
    names = ["standard input" if path == "-" else path for path in paths]
    what = f"{names[0]} is" if len(names) == 1 else f"all {len(names)} texts are"
    return f"{what} empty; name another text with --text or corpus.paths"
