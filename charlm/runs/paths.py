"""The paths of the files in a run folder."""

from pathlib import Path

from charlm.errors import RunError, file_errors
from charlm.runs.hints import nearest_runs


class RunPaths:
    """The paths of the files of one run; it reads none, and needs no torch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.environment = path / "environment.json"
        self.report = path / "report.html"
        self.launch = path / ".launch"
        self.lock = path / ".lock"
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.safetensors"
        self.last = self.checkpoints / "last.safetensors"
        self.rollback = self.checkpoints / "rollback.safetensors"

    def check_exists(self) -> None:
        """Raise `RunError` if there is no such folder."""
        with file_errors("be read", self.path, "check the path"):
            if not self.path.exists():
                raise RunError(f"{self.path}: no such run; {nearest_runs(self.path)}")
