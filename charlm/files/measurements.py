"""Store measurements of this machine in the cache for later processes."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.files.atomic import write_whole
from charlm.files.cache_record import claim, record_locked
from charlm.files.locations import cache_folder
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded


def remembered(key: str) -> Any:
    """Return the stored measurement of a key, or None."""
    return _notes().get(key)


def remember(key: str, value: Any) -> None:
    """Store a measurement; if that fails, the next process only measures again."""
    with suppress(OSError), record_locked():
        claim(_notes_file())
        write_whole(_notes_file(), json.dumps(_notes() | {key: value}).encode())


def _notes_file() -> Path:
    return cache_folder() / "measurements.json"


def _notes() -> dict[str, Any]:
    try:
        notes = parse_json(as_ascii(read_bounded(_notes_file(), megabytes=1)))
    except (OSError, InvalidDataError):
        return {}
    return notes if isinstance(notes, dict) else {}
