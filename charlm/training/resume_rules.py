"""Rules for resuming: which settings may change, and which run folders can be resumed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charlm.config.schema import Config
from charlm.errors import ConfigError, RunError
from charlm.kernels.loading import Precision
from charlm.runs.folder import RunFolder

MAY_CHANGE = {
    # Paths of texts and teachers may change, because digests identify their contents.
    "corpus": {"paths", "builtin", "validation_paths", "test_paths", "encodings"},
    "training": {
        "accumulate",
        "budget",
        "deterministic",
        "device",
        "epochs",
        "keep_checkpoints",
        "log_every",
        "log_to",
        "max_rollbacks",
        "patience",
        "report",
        "save_every",
        "steps",
        "teachers",
        "threads",
        "validate_every",
        "validation_rows",
    },
    "ensemble": {"keep_text"},
}
"""Keys of each section that may change when a run is resumed: no finished step depends on them."""


def changeable_settings(config: Config) -> list[str]:
    """Return the settings of a config that may change, as `section.key=value`."""
    return [
        f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"
        for section, keys in MAY_CHANGE.items()
        for key, value in getattr(config, section).model_dump(include=keys).items()
    ]


def check_resumable(
    path: str | Path, written: Config, config: Config, precision: Precision | None = None
) -> None:
    """Raise `RunError` if settings outside `MAY_CHANGE` differ from those written in the run.

    `precision` is that of its finished steps: `auto` and its name both mean it.
    """
    if precision is not None and config.training.precision in ("auto", precision):
        config = config.replace(training={"precision": written.training.precision})
    changed = [
        f"{section}.{key} was {old} and is {new}"
        for section, key, old, new in _differences(written, config)
        if section != "generation" and key not in MAY_CHANGE.get(section, ())
    ]
    if changed:
        raise RunError(
            f"{path}: cannot resume, these settings changed: {'; '.join(changed)}; restore them"
        )


def check_same(path: str | Path, written: Config, config: Config) -> None:
    """Raise `RunError` if a run folder of this name belongs to a run with other settings."""
    model = written.model if config.training.start_from is not None else config.model
    check_resumable(path, written, config.replace(model=model))


def ignored_edits(folder: RunFolder, config: Config) -> str:
    """Say where config.yaml differs from `config`, that of the last checkpoint; "" if nowhere.

    A file that is not a valid config is ignored, too: the checkpoint decides.
    """
    if not folder.has_config():
        return ""
    try:
        written = folder.read_config()
    except ConfigError as reason:
        return f"{reason}; the file is ignored, and rewritten with the settings of the checkpoint"
    edits = [
        f"{section}.{key} is {new} in it and {old} in the last checkpoint"
        for section, key, old, new in _differences(config, written)
    ]
    if not edits:
        return ""
    return f"{folder.config_file}: ignored, {'; '.join(edits)}; change settings with --set"


def _differences(one: Config, other: Config) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield section, key and both values of each setting that differs."""
    ours, theirs = one.model_dump(), other.model_dump()
    for section, keys in ours.items():
        for key, value in keys.items():
            if value != theirs[section][key]:
                yield section, key, value, theirs[section][key]


def check_not_begun(folder: RunFolder) -> None:
    """Raise `RunError` if the folder has checkpoints that a new start would overwrite."""
    first = folder.numbered(0)  # a crash in the first save may leave only this one
    if any(path != first for path in folder.checkpoints.glob("*.safetensors")):
        raise RunError(
            f"{folder.last}: missing, but other checkpoints exist; copy one from "
            f"{folder.checkpoints} to it, or start a new run with --set training.start_from=…"
        )
