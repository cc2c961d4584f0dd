"""Which runs may be gone on with, and under which config."""

from pathlib import Path

from charlm.config.load import load_config
from charlm.config.schema import Config
from charlm.errors import RunError
from charlm.runs.folder import RunFolder

MAY_CHANGE = {
    # Where the text lies, and its teachers: digests say whether they are the same.
    "corpus": {"paths", "builtin", "validation_paths", "test_paths"},
    "training": {
        *("epochs", "steps", "budget", "patience", "max_rollbacks"),
        *("device", "threads", "deterministic", "accumulate", "teachers"),
        *("validate_every", "validation_rows", "save_every", "log_every", "keep_checkpoints"),
    },
    "ensemble": {"keep_text"},
}
"""Keys that the steps already taken do not depend on."""


def check_resumable(run: str | Path, before: Config, now: Config) -> None:
    """Raise `RunError` if something else has changed than may change."""
    changed = []
    for section in ("corpus", "batches", "model", "training", "ensemble"):
        old, new = getattr(before, section).model_dump(), getattr(now, section).model_dump()
        changed += [
            f"{section}.{key} was {old[key]} and is {new[key]}"
            for key in old
            if old[key] != new[key] and key not in MAY_CHANGE.get(section, ())
        ]
    if changed:
        raise RunError(
            f"{run}: cannot go on with a changed config: {'; '.join(changed)}; set it back"
        )


def check_same(folder: RunFolder, config: Config) -> None:
    """Refuse to go on with another run that happens to have the same name."""
    written = load_config(folder.config_file)
    model = written.model if config.training.start_from is not None else config.model
    now = config.replace(training={"precision": written.training.precision}, model=model)
    check_resumable(folder.path, written, now)


def check_not_begun(folder: RunFolder) -> None:
    """Refuse to begin a run anew that has anything to lose."""
    first = folder.numbered(0)  # of which a crash may have left the older copy alone
    if any(path != first for path in folder.checkpoints.glob("*.safetensors")):
        raise RunError(
            f"{folder.last}: missing, and other checkpoints are there; copy one of "
            f"{folder.checkpoints} to it, or begin another run with --set training.start_from=…"
        )
