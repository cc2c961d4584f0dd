"""Find the checkpoint whose integer network compressed a file."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from charlm.errors import CharlmError, file_errors
from charlm.portable.checkpoint_network import read_network
from charlm.portable.model_bytes import digest_of
from charlm.portable.network import IntegerNetwork
from charlm.runs.finding import checkpoint_to_use
from charlm.runs.run_folders import newest_first


class Found(NamedTuple):
    """A checkpoint, its integer network, and a remark for the user or ""."""

    path: Path
    network: IntegerNetwork
    remark: str


def checkpoint_with(digest: bytes, runs: Path) -> Found | None:
    """Return the checkpoint below `runs` whose network has this digest, or None.

    It first tries the checkpoint that the name of each run stands for, then all others; the newest
    runs come first. Damaged checkpoints are skipped.
    """
    seen = set()
    for path in _checkpoints(runs):
        if path in seen:
            continue
        seen.add(path)
        with suppress(CharlmError):
            network, remark = read_network(path)
            if digest_of(network) == digest:
                return Found(path, network, remark)
    return None


def _checkpoints(runs: Path) -> Iterator[Path]:
    with file_errors("be read", runs, "check the folder"):
        folders = newest_first(runs)
    for folder in folders:
        with suppress(CharlmError):
            yield checkpoint_to_use(folder)
    for folder in folders:
        for kind in ("checkpoints", "member-*/checkpoints"):
            yield from sorted(folder.glob(f"{kind}/*.safetensors"))
