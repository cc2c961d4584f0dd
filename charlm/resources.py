"""Where things lie: the configs and texts that ship with charlm, and its cache folder."""

import os
from pathlib import Path

import platformdirs

ANOTHER_CACHE = "free some space or set CHARLM_CACHE to a folder of yours"
"""What to do where the cache cannot be written."""
_PACKAGE = Path(__file__).parent


def shipped(kind: str) -> Path:
    """Return the folder `configs` or `data`: in an installed package, beside it in a checkout."""
    installed = _PACKAGE / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def cache_folder() -> Path:
    """Return the folder for encoded texts and downloads: `CHARLM_CACHE`, or the system's."""
    return Path(os.environ.get("CHARLM_CACHE") or platformdirs.user_cache_path("charlm"))
