"""Rules for resuming: which settings may change, and which run folders can be resumed."""

from pathlib import Path

from charlm.config.load import load_config
from charlm.config.schema import Config
from charlm.errors import RunError
from charlm.kernels.loading import Precision
from charlm.runs.folder import RunFolder

MAY_CHANGE = {
    # Paths of texts and teachers may change, because digests identify their contents.
    "corpus": {"paths", "builtin", "validation_paths", "test_paths"},
    "training": {
        "accumulate",
        "budget",
        "deterministic",
        "device",
        "epochs",
        "keep_checkpoints",
        "log_every",
        "max_rollbacks",
        "patience",
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


def check_resumable(
    path: str | Path, written: Config, config: Config, precision: Precision | None = None
) -> None:
    """Raise `RunError` if settings outside `MAY_CHANGE` differ from those written in the run.

    `precision` is that of its finished steps: `auto` and its name both mean it.
    """
    changed = []
    for section in ("corpus", "batches", "model", "training", "ensemble"):
        old, new = getattr(written, section).model_dump(), getattr(config, section).model_dump()
        if precision is not None and new.get("precision") in ("auto", precision):
            new["precision"] = old["precision"]
        changed += [
            f"{section}.{key} was {old[key]} and is {new[key]}"
            for key in old
            if old[key] != new[key] and key not in MAY_CHANGE.get(section, ())
        ]
    if changed:
        raise RunError(
            f"{path}: cannot resume, these settings changed: {'; '.join(changed)}; restore them"
        )


def check_same(folder: RunFolder, config: Config) -> None:
    """Raise `RunError` if a run folder of this name belongs to a run with other settings."""
    written = load_config(folder.config_file)
    model = written.model if config.training.start_from is not None else config.model
    check_resumable(folder.path, written, config.replace(model=model))


def check_not_begun(folder: RunFolder) -> None:
    """Raise `RunError` if the folder has checkpoints that a new start would overwrite."""
    first = folder.numbered(0)  # a crash in the first save may leave only this one
    if any(path != first for path in folder.checkpoints.glob("*.safetensors")):
        raise RunError(
            f"{folder.last}: missing, but other checkpoints exist; copy one from "
            f"{folder.checkpoints} to it, or start a new run with --set training.start_from=…"
        )
