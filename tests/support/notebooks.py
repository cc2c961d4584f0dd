"""Run notebooks in a kernel whose settings are not those of the user."""

from pathlib import Path
from typing import Any

import pytest


def run_notebook(notebook: Any, folder: Path, patch: pytest.MonkeyPatch, **options: Any) -> None:
    """Run all cells of a notebook in place; skip the test without `nbclient`."""
    client = pytest.importorskip("nbclient")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        patch.setenv(name, str(folder / name))
    client.NotebookClient(notebook, **options).execute()
