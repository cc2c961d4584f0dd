"""Tell texts from configs among the arguments of `train`."""

import glob
import os
import shlex
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from charlm.cli.limits import describe_limits
from charlm.config.load import ENDINGS, config_names
from charlm.config.schema import Config
from charlm.corpus.files import hint_of_text
from charlm.errors import CharlmError
from charlm.files.locations import from_user
from charlm.formatting import count
from charlm.suggestions import did_you_mean, did_you_mean_path

_MOST_JOINED_WORDS = 12
"""Number of arguments that may be the words of one name, at most."""

_MOST_NAMED_TEXTS = 3
"""Number of texts that a message names; it counts the rest."""


def sort_inputs(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the config and the texts among some arguments, in any order.

    A config is a shipped name or ends in .yaml; a text is `-`, a file, a folder or a glob. Raises
    `CharlmError` for an argument that is both or neither, and for a second config.
    """
    shipped = config_names()
    configs = [word for word in words if _is_config(word, shipped)]
    texts = [word for word in words if word not in configs]
    if len(configs) > 1:
        raise CharlmError(
            f"{configs[0]} and {configs[1]}: two configs; give one (a text that ends in .yaml is "
            "given with --text)"
        )
    for text in texts:
        _check_text(text, words)
    return (configs[0] if configs else None), texts


def announcement(texts: Sequence[str], config: Config) -> list[str]:
    """Return what charlm does with a text without a config, for how long, and how to stop."""
    shown = ", ".join(texts[:_MOST_NAMED_TEXTS])
    more = len(texts) - _MOST_NAMED_TEXTS
    what = f"{shown} and {count(more, 'more text')}" if more > 0 else shown
    return [
        f"charlm chooses a model for {what or config.corpus.builtin}, and trains it for at most "
        f"{describe_limits(config.training)}; --budget sets another time",
        "Ctrl-C stops earlier and saves the model; --resume continues the training",
    ]


def _is_config(word: str, shipped: Sequence[str]) -> bool:
    if word not in shipped:
        return word.endswith(ENDINGS) and not glob.has_magic(word)
    if os.path.lexists(word):
        raise CharlmError(
            f"{word}: both a shipped config and a path in this folder; write ./{word} for the "
            "path, or rename it to use the config"
        )
    return True


def _check_text(word: str, words: Sequence[str]) -> None:
    """Raise `CharlmError` for an argument that cannot be a text."""
    path = from_user(word)
    if word == "-" or (glob.has_magic(word) and not _exists(path)):
        return  # the files of a glob are found when the text is read
    if not _exists(path):
        raise CharlmError(_unknown(word, words))
    if (path / "checkpoints").is_dir():
        raise CharlmError(f"{word}: a run, not a text; resume it with --resume {shlex.quote(word)}")
    if path.suffix == ".safetensors":
        raise CharlmError(
            f"{word}: a checkpoint, not a text; train from its weights with "
            f"--set training.start_from={shlex.quote(word)}"
        )


def _unknown(word: str, words: Sequence[str]) -> str:
    """Describe an argument that is neither a text nor a config."""
    for name in _joined(word, words):
        if _exists(from_user(name)):
            return f"{name}: put a name with spaces in quotes: {shlex.quote(name)}"
    hint = (
        did_you_mean(word, config_names())
        or hint_of_text(word)
        or did_you_mean_path(from_user(word))
        or ("check the path" if "." in word else f"the configs are {', '.join(config_names())}")
    )
    return f"{word}: no file or folder, and no config, has this name; {hint}"


def _joined(word: str, words: Sequence[str]) -> list[str]:
    """Return the names that neighbouring arguments around a word form with spaces."""
    place = words.index(word)
    first = max(0, place - _MOST_JOINED_WORDS)
    bounds = combinations(range(first, min(len(words), place + _MOST_JOINED_WORDS) + 1), 2)
    return [" ".join(words[i:j]) for i, j in bounds if i <= place < j and j - i > 1]


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path's raises for what cannot be a name
