"""A cache and runs that several users share: who may read a file is as for every other file."""

import os
import sys
from pathlib import Path

import pytest
from support.commands import run
from support.foreign_files import SMALL, TEXT
from support.processes import as_another_user, needs_root

from charlm.config.schema import CorpusConfig
from charlm.corpus import catalogue
from charlm.corpus.builder import build_corpus
from charlm.files import measurements
from charlm.kernels import compiler
from charlm.kernels.store import KernelStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text that everybody may read, and a cache beside it."""
    compiler.library()  # in the cache that all tests share
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "charlm.corpus.file_digests._REST_NS", -(10**18)
    )  # digests are remembered at once
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005:  # pytest's own
            folder.chmod(folder.stat().st_mode | 0o005)
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("umask", [0o002, 0o027])
def test_modes_follow_the_umask(umask: int, text: Path, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        arguments = [*SMALL, "--set=training.steps=2", "--set=ensemble.members=2", "--quiet"]
        made = run("train", "quickstart", "--text", text, "--runs", tmp_path / "runs", *arguments)
        assert made.exit_code == 0, made.output
        catalogue.files_of("python-docs")
        measurements.remember("x", 1)
        KernelStore("key").keep(b"a library")
    finally:
        os.umask(before)
    wrong = {}
    for top in (tmp_path / "cache", tmp_path / "runs"):
        for path in (top, *top.rglob("*")):
            expected = (0o777 if path.is_dir() else 0o666) & ~umask
            if "kernels-" not in str(path) and path.stat().st_mode & 0o777 != expected:
                wrong[path] = oct(path.stat().st_mode)
    assert wrong == {}


def built(text: Path) -> str:
    return build_corpus(CorpusConfig(paths=(str(text),))).fingerprint


@needs_root
def test_other_user_reads_without_writing(text: Path, tmp_path: Path) -> None:
    """Another user reads the cache without writing there."""
    expected = built(text)
    (path,) = catalogue.files_of("python-docs")
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*")}
    assert as_another_user(lambda: built(text)) == repr(expected)
    assert as_another_user(lambda: catalogue.files_of("python-docs")) == repr([path])
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*")} == files


@needs_root
@pytest.mark.parametrize("name", ["corpus.json", "train.ids"])
def test_what_cannot_be_read_is_left_alone(name: str, text: Path, tmp_path: Path) -> None:
    """It is not damaged: neither a corpus, a text, nor a measurement of somebody else's."""
    fingerprint = built(text)
    measurements.remember("x", 1)
    (docs,) = catalogue.files_of("python-docs")
    cache = tmp_path / "cache"
    private = [cache / "corpora" / fingerprint / name, docs, cache / "measurements.json"]
    private.append(cache / "corpora" / "file-digests.json")
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    for path in private:
        path.chmod(0o600)
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in private}
    said = as_another_user(lambda: built(text))
    assert "CorpusError" in said
    assert "could not be read (Permission denied)" in said
    assert "CHARLM_CACHE" in said
    said = as_another_user(lambda: catalogue.files_of("python-docs"))
    assert "could not be read (Permission denied)" in said
    assert as_another_user(lambda: measurements.remember("y", 2)) == "None"
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in private} == before
