"""Apply `section.key=value` settings and `--text` from the command line to the keys of a config."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from charlm.config.paths import absolute, anchor_paths
from charlm.errors import ConfigError
from charlm.files.strict_yaml import NULL, YAMLError, describe_problem, parse_yaml

TextPaths = str | Path | Iterable[str | Path]
"""Files, folders or globs."""

_ALTERNATIVES = {"corpus": ("paths", "builtin")}
"""Keys that name the same thing in different ways: setting one resets the others."""


def apply_settings(
    keys: dict[Any, Any], settings: Iterable[str], text: TextPaths, *, is_moved: bool = False
) -> dict[Any, Any]:
    """Return the keys of a config with a text, then with settings.

    With `is_moved`, `text` is the new path of the same text, and files for validation and test
    keep their paths.
    """
    paths = [text] if isinstance(text, str | Path) else list(text)
    changes = _parse_settings(settings)
    anchor_paths(changes, Path.cwd())
    if not paths:
        return _merge(keys, changes)
    for key in _ALTERNATIVES["corpus"]:
        if changes.get("corpus", {}).get(key) is not None:
            raise ConfigError(f"--text and corpus.{key} both name the text; use only one of them")
    corpus: dict[str, Any] = {"paths": [absolute(str(path), Path.cwd()) for path in paths]}
    if not is_moved:
        corpus |= {"validation_paths": [], "test_paths": []}
    return _merge(_merge(keys, {"corpus": corpus}), changes)


def _parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise ConfigError(f"{setting!r}: a setting is written section.key=value")
        try:
            value = parse_yaml(_decoded(text))
        except YAMLError as reason:
            raise ConfigError(f"{setting!r}: {describe_problem(reason)}") from None
        if value is None and not re.fullmatch(NULL, text.strip()):
            raise ConfigError(
                f"{setting!r}: the value is empty (is a shell variable not set?); write null for "
                "no value, or section.key='\"\"' for an empty text"
            )
        keys.setdefault(section, {})[key] = value
    return keys


def _decoded(text: str) -> str:
    """Decode bytes that the locale left as surrogates (PEP 383), if they are UTF-8."""
    try:
        return os.fsencode(text).decode() if not text.isprintable() else text
    except UnicodeError:
        return text


def _merge(keys: dict[Any, Any], changes: dict[str, Any]) -> dict[Any, Any]:
    """Return the keys of a config with changes of some keys."""
    merged = dict(keys)
    for section, values in changes.items():
        old = merged.get(section, {})
        if isinstance(old, dict):  # otherwise a mistake, which validation reports
            merged[section] = {**old, **_without_alternatives(section, values)}
    return merged


def _without_alternatives(section: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values, which reset each alternative that they do not set."""
    alternatives = _ALTERNATIVES.get(section, ())
    if all(values.get(key) is None for key in alternatives):
        return values
    empty = {key: () if key == "paths" else None for key in alternatives}
    return empty | values
