"""Check a text before training: its content, its faults, and how large a model suits it."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from charlm.analysis.text_characters import (
    CharacterCount,
    Mojibake,
    RareCharacters,
    control_characters,
    mojibake,
    rare_characters,
)
from charlm.analysis.text_lines import (
    ItemList,
    LineEndCounts,
    MarkUp,
    RepeatedLines,
    count_line_ends,
    item_list,
    kind_of,
    mark_up,
    record_form,
    repeated_lines,
)
from charlm.analysis.text_passages import (
    RepeatedPassages,
    repeated_passages,
    shared_with_training,
)
from charlm.config.schema import CorpusConfig
from charlm.corpus.blocks import read_blocks, spool_standard_input
from charlm.corpus.decoding import read_symbols
from charlm.corpus.encodings import shown_encoding
from charlm.corpus.split_bounds import split_bounds
from charlm.corpus.text_files import file_digests, text_files
from charlm.errors import CorpusError
from charlm.files.build_folder import building_folder
from charlm.files.locations import cache_folder
from charlm.training.auto_rules import choose_size, weights_of

MOST_CHARACTERS = 50_000_000
"""Number of characters that are checked of a longer text."""
_MOST_OF_A_KIND = 100_000
"""Number of characters of a file from which its kind is told."""
_MOST_KINDS = 100
"""Number of files whose kind is told."""
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TextCheck:
    """What a text contains, and what follows for training on it."""

    paths: tuple[str, ...]
    files: int
    characters: int
    is_complete: bool
    """Whether the whole text was checked."""
    encodings: dict[str, int]
    """Number of files in each encoding."""
    byte_order_marks: int
    """Number of files that begin with one."""
    line_ends: LineEndCounts
    mojibake: Mojibake
    controls: tuple[CharacterCount, ...]
    rare: RareCharacters
    lines: RepeatedLines
    passages: RepeatedPassages
    test_in_training: float
    """Fraction of the test split in spans of 50 characters that stand in the training split."""
    items: ItemList
    records: str
    """Value of `corpus.records` that suits the text; "" for running text."""
    mark_up: tuple[MarkUp, ...]
    kinds: dict[str, str]
    """What the lines of each of several files are, by its name: a list, a log or running text."""
    fewest_characters: int
    """Number of characters from which each split of the default config is long enough."""
    hidden_size: int
    """Largest hidden size that `charlm train` chooses for so much text."""
    weights: int
    """Number of recurrent weights of an LSTM of this size."""

    @property
    def is_too_short(self) -> bool:
        """Whether training on the text fails, as a split is too short."""
        return self.characters < self.fewest_characters

    @property
    def command(self) -> str:
        """The command that trains on the text; "" if that is too short."""
        if self.is_too_short:
            return ""
        setting = f" --records {shlex.quote(self.records)}" if self.records else ""
        if self.rare.minimum_count is not None:
            setting += f" --set corpus.minimum_count={self.rare.minimum_count}"
        return f"charlm train {shlex.join(self.paths)}{setting}"

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        found["rare"]["minimum_count"] = self.rare.minimum_count
        found["lines"]["share"] = self.lines.share
        found["is_too_short"] = self.is_too_short
        found["line_ends"]["is_mixed"] = self.line_ends.is_mixed
        return {**found, "command": self.command}


def check_text(paths: Sequence[str]) -> TextCheck:
    """Check the text of files, folders and globs; `-` is standard input.

    Raises `CorpusError` for a text that is missing, empty, or cannot be decoded.
    """
    if "-" not in paths:
        return _check(paths, paths)
    with building_folder(cache_folder()) as folder:
        copy = str(spool_standard_input(folder))
        return _check([copy if path == "-" else path for path in paths], paths)


def _check(paths: Sequence[str], named: Sequence[str]) -> TextCheck:
    config = CorpusConfig(paths=tuple(paths), newlines="keep", max_characters=MOST_CHARACTERS + 1)
    digests = file_digests()
    found = text_files(config, (tuple(paths), (), ()), digests, is_setting=False)
    files, encodings = found.groups[0], [shown_encoding(one) for one in found.encodings.values()]
    pieces = list(read_symbols(files, config, found.encodings, is_setting=False))
    if not pieces:
        raise CorpusError(f"{', '.join(named)}: the text is empty; name another one")
    symbols = np.concatenate(pieces)
    is_complete = len(symbols) <= MOST_CHARACTERS
    symbols = symbols[:MOST_CHARACTERS]
    text = symbols.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    counts = np.bincount(symbols)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    train, validation, _ = config.split
    ends = int(train * len(symbols)), int(round(train + validation, 9) * len(symbols))
    hidden_size = choose_size(max(1, ends[0]), float("inf"), lambda size: 1.0)[0]
    return TextCheck(
        paths=tuple(named),
        files=len(files),
        characters=len(symbols),
        is_complete=is_complete,
        encodings={name: encodings.count(name) for name in dict.fromkeys(encodings)},
        byte_order_marks=sum(
            next(read_blocks(path, 4), b"").startswith(_BYTE_ORDER_MARKS) for path in files
        ),
        line_ends=count_line_ends(text),
        mojibake=mojibake(lines),
        controls=control_characters(counts),
        rare=rare_characters(counts),
        lines=repeated_lines(lines),
        passages=repeated_passages(symbols, text),
        test_in_training=shared_with_training(symbols[: ends[0]], symbols[ends[1] :]),
        items=item_list(lines),
        records=record_form(lines),
        mark_up=mark_up(text, len(lines)),
        kinds=_kinds(files, config, found.encodings) if len(files) > 1 else {},
        fewest_characters=_fewest_characters(config),
        hidden_size=hidden_size,
        weights=weights_of(hidden_size),
    )


def _kinds(
    files: Sequence[Path], config: CorpusConfig, encodings: Mapping[Path, str]
) -> dict[str, str]:
    """Return the kinds of files that have enough lines, from the beginning of each."""
    beginning = config.replace(max_characters=_MOST_OF_A_KIND)
    kinds = {}
    for path in files[:_MOST_KINDS]:
        pieces = list(read_symbols([path], beginning, encodings, is_setting=False))
        symbols = np.concatenate(pieces) if pieces else np.zeros(0)
        text = symbols.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        if kind := kind_of(text.splitlines()):
            kinds[path.name] = kind
    return kinds


def _fewest_characters(config: CorpusConfig) -> int:
    """Return the length of the shortest text that can be split as the config says."""
    for size in count(1):
        with suppress(CorpusError):
            split_bounds([size, 0, 0], config)
            return size
    raise AssertionError
