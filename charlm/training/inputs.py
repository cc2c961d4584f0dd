"""Separate texts from configs in the arguments of `train`, and choose how long to train."""

import glob
import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from os import PathLike
from pathlib import Path

from charlm.config.load import ENDINGS, config_names, load_config, override
from charlm.config.schema import Config
from charlm.config.settings import TextPaths
from charlm.corpus.files import hint_of_text
from charlm.errors import CharlmError, ConfigError
from charlm.files.locations import from_user
from charlm.files.strict_yaml import NULL
from charlm.runs.names import name_from_text
from charlm.suggestions import did_you_mean, did_you_mean_path

_MAX_JOINED_WORDS = 12
"""Largest number of arguments that may be the words of one name."""

DEFAULT_BUDGET = "5m"
"""Time to train and score if neither a config nor the user sets a limit."""
_LIMITS = ("training.epochs", "training.steps", "training.budget")


@dataclass(frozen=True)
class Inputs:
    """What to train on, and how, according to the arguments of a command or a call."""

    config: str | Config
    """The name or path of a config, or the config itself."""
    texts: tuple[str, ...]
    settings: tuple[str, ...]
    is_chosen: bool
    """Whether charlm chooses the settings, except those that are given."""
    has_config: bool = False
    """Whether the config is named, and not the default one."""

    @classmethod
    def of(
        cls,
        inputs: Iterable[str | PathLike[str] | Config],
        text: TextPaths = (),
        settings: Iterable[str] = (),
        auto: bool | None = None,
        swept: Collection[str] = (),
    ) -> "Inputs":
        """Separate the texts from the config in `inputs`, and add the texts of `text`.

        Without `auto`, charlm chooses the settings for a text without a config. `swept` are keys
        that get their values later. Raises `CharlmError`.
        """
        given = list(inputs)
        words = [os.fspath(one) for one in given if not isinstance(one, Config)]
        config, texts = _only_config([one for one in given if isinstance(one, Config)], words)
        texts += map(str, [text] if isinstance(text, str | Path) else text)
        is_chosen = bool(texts) and config is None if auto is None else auto
        settings = with_limit(list(settings), swept) if is_chosen and config is None else settings
        return cls(
            config or "quickstart", tuple(texts), tuple(settings), is_chosen, config is not None
        )

    @property
    def stem(self) -> str:
        """The name, without a number, of the runs of the text, or else of the config."""
        if self.texts:
            return name_from_text(self.texts)
        stem = "run" if isinstance(self.config, Config) else Path(self.config).stem
        # charlm replaces all settings of this config
        return "auto" if self.is_chosen and stem == "quickstart" else stem

    def resolve(self) -> Config:
        """Return the config with the texts and the settings; raises `ConfigError`."""
        if isinstance(self.config, Config):
            return override(self.config, self.settings, self.texts)
        return load_config(self.config, self.settings, self.texts)


def _only_config(configs: list[Config], words: list[str]) -> tuple[str | Config | None, list[str]]:
    named, texts = sort_inputs(words)
    if len(configs) + (named is not None) > 1:
        raise ConfigError("two configs are given; give one")
    return (configs[0] if configs else named), texts


def sort_inputs(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the config and the texts among some arguments, in any order.

    A config is a shipped name or ends in .yaml; a text is `-`, a file, a folder or a glob. Raises
    `CharlmError` for an argument that is both or neither, and for a second config.
    """
    if "" in words:
        raise CharlmError("a text or config is empty; give a name, or omit it")
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
    first = max(0, place - _MAX_JOINED_WORDS)
    bounds = combinations(range(first, min(len(words), place + _MAX_JOINED_WORDS) + 1), 2)
    return [" ".join(words[i:j]) for i, j in bounds if i <= place < j and j - i > 1]


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path's raises for what cannot be a name


def with_limit(settings: Sequence[str], swept: Collection[str] = ()) -> list[str]:
    """Return settings that set a limit of training: their own, or the default budget.

    A limit of epochs or steps replaces the budget of the config; a budget can be set beside it.
    `swept` are the keys that get their values later.
    """
    given = {key.strip(): value.strip() for key, _, value in (s.partition("=") for s in settings)}
    if "training.budget" in {*given, *swept}:
        return [*settings]
    given |= dict.fromkeys(swept, "swept")
    is_limited = any(not re.fullmatch(NULL, given.get(key, "null")) for key in _LIMITS)
    return [f"training.budget={'null' if is_limited else DEFAULT_BUDGET}", *settings]
