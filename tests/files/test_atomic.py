"""What stands on the disk, and in which order: no crash of the machine loses a file's content."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.files.atomic import new_file, sync, write_whole

needs_folders = pytest.mark.skipif(os.name == "nt", reason="Windows cannot synchronise folders")


def write_new(path: Path) -> None:
    with new_file(path) as file:
        file.write(b"content")


def write_once(path: Path) -> None:
    write_whole(path, b"content", is_new=True)


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Each inode that was synchronised, with whether `tmp_path/file` had its name by then."""
    synchronised: list[tuple[int, bool]] = []

    def note(number: int) -> None:
        assert os.fstat(number).st_size > 0  # what Python has buffered is not on the disk
        synchronised.append((os.fstat(number).st_ino, (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", note)
    return synchronised


@needs_folders
@pytest.mark.parametrize(
    "write", [write_new, write_once, lambda path: write_whole(path, b"content")]
)
def test_content_is_on_disk_before_name(
    write: Callable[[Path], None], tmp_path: Path, on_disk: list[tuple[int, bool]]
) -> None:
    """A file has its name when its content is on the disk, and then the folder is on it, too."""
    write(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"content"
    content, name = ((tmp_path / "file").stat().st_ino, False), (tmp_path.stat().st_ino, True)
    assert on_disk.index(content) < on_disk.index(name)


@needs_folders
def test_sync_waits_for_file_and_name(tmp_path: Path, on_disk: list[tuple[int, bool]]) -> None:
    (tmp_path / "file").write_bytes(b"content")
    sync(tmp_path / "file")
    inodes = (tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino
    assert on_disk == [(one, True) for one in inodes]
