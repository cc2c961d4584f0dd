"""Laws of remembered digests: a text is hashed again when it may have changed."""

import hashlib
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.corpora import config_of, decoded, facts, files_below
from support.texts import CACHED_TEXT

from charlm.corpus.builder import build_corpus
from charlm.corpus.decoding import read_symbols
from charlm.corpus.vocabulary import Symbols
from charlm.errors import CorpusError
from charlm.files import measurements


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The texts that were read for their digest, as they are read."""
    read: list[Path] = []
    original = hashlib.file_digest

    def recorded(file: Any, name: str) -> Any:
        path = Path(file.name)
        read.extend(
            [path] if path.suffix not in {".ids", ".unknown"} else []
        )  # those are the cache's own
        return original(file, name)

    monkeypatch.setattr("charlm.corpus.file_digests.hashlib.file_digest", recorded)
    return read


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file passes for one that was written long ago."""
    monkeypatch.setattr("charlm.corpus.file_digests._REST_NS", -(10**9))


@pytest.mark.usefixtures("at_rest")
def test_a_file_at_rest_is_hashed_once(
    cached_text: Path, cache: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_corpus(config_of(cached_text))
    assert hashed == [cached_text]
    written = files_below(cache) - {cache / ".charlm-made"}  # which gets the names of new ones
    before = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.chdir(cached_text.parent)
    for name in (cached_text, cached_text.name):
        assert facts(build_corpus(config_of(name))) == facts(first)
    build_corpus(config_of(cached_text, newlines="space"))
    assert hashed == [cached_text]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_file_written_twice_in_a_tick(
    cached_text: Path, cache: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file written twice in a tick of the clock is not served stale."""
    tick, fstat = time.time_ns(), os.fstat

    def in_this_tick(descriptor: int) -> os.stat_result:
        if not os.path.samestat(fstat(descriptor), cached_text.stat()):
            return fstat(descriptor)  # of the cache's own files
        return os.stat_result(fstat(descriptor)[:10], {"st_mtime_ns": tick, "st_ctime_ns": tick})

    monkeypatch.setattr("charlm.corpus.file_digests.os.fstat", in_this_tick)
    for word in ("zwei", "drei", "acht"):
        changed = CACHED_TEXT.replace("zwei", word)
        with cached_text.open("r+", encoding="utf-8", newline="") as file:  # the same inode
            file.write(changed)
        assert decoded(build_corpus(config_of(cached_text, vocabulary_from="all"))) == changed
    assert set(hashed) == {cached_text}
    assert not (cache / "corpora" / "file-digests.json").exists()


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize("keeps_time", [False, True])
def test_a_changed_text_is_hashed_again(keeps_time: bool, cached_text: Path, cache: Path) -> None:
    """A changed text of the same size is hashed again."""
    if keeps_time and sys.platform == "win32":
        pytest.skip("Windows keeps no time of change")
    before = cached_text.stat()
    build_corpus(config_of(cached_text, vocabulary_from="all"))
    changed = CACHED_TEXT.replace("zwei", "drei")
    time.sleep(0.05)  # more than a tick
    with cached_text.open("r+", encoding="utf-8", newline="") as file:
        file.write(changed)
    if keeps_time:
        os.utime(cached_text, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cached_text.stat().st_size == before.st_size
    assert decoded(build_corpus(config_of(cached_text, vocabulary_from="all"))) == changed


@pytest.mark.usefixtures("at_rest")
def test_a_touched_text_is_only_hashed_again(
    cached_text: Path, cache: Path, hashed: list[Path]
) -> None:
    """A touched text is hashed again and not encoded again."""
    first = build_corpus(config_of(cached_text))
    before = files_below(cache)
    os.utime(cached_text, ns=(0, 10**18))
    for _ in range(2):
        assert build_corpus(config_of(cached_text)).fingerprint == first.fingerprint
    assert hashed == [cached_text] * 2
    assert files_below(cache) == before


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize(
    "memory", ["", "{", "[]", "7", '{"a": 1}', '{"a": [[], 1]}', '{"a": [[], "x"]}', "\udcff"]
)
def test_damaged_digests_are_made_again(
    memory: str, cached_text: Path, cache: Path, hashed: list[Path]
) -> None:
    """A damaged memory of digests is made again."""
    first = build_corpus(config_of(cached_text))
    path = cache / "corpora" / "file-digests.json"
    whole = path.read_bytes()
    path.write_text(memory, "utf-8", errors="surrogateescape")
    assert facts(build_corpus(config_of(cached_text))) == facts(first)
    assert path.read_bytes() == whole
    assert hashed == [cached_text] * 2


@pytest.mark.usefixtures("at_rest")
def test_the_memory_of_digests_is_bounded(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of digests is bounded and keeps the newest."""
    monkeypatch.setattr("charlm.corpus.file_digests._MAX_FILES", 2)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("a text of some length" * 9)
        build_corpus(config_of(path))
    memory = json.loads((cache / "corpora" / "file-digests.json").read_text("utf-8"))
    assert list(memory) == [str(path) for path in paths[1:]]


@pytest.mark.usefixtures("at_rest")
def test_a_text_that_changes_during_reading(
    cached_text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that changes while it is read is an error."""

    def disturbed(*read: Any, **options: Any) -> Iterator[Symbols]:
        yield from read_symbols(*read, **options)
        time.sleep(0.05)
        with cached_text.open("a") as file:
            file.write("more")

    monkeypatch.setattr("charlm.corpus.builder.read_symbols", disturbed)
    with pytest.raises(CorpusError, match="changed during reading"):
        build_corpus(config_of(cached_text))
    assert not list(cache.rglob("*"))


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize(
    "written", ["[" * 100_000, f"[{'[],' * 10**6}[]]", " " * (40 << 20)], ids=len
)
def test_the_memory_may_hold_anything(written: str, cached_text: Path, cache: Path) -> None:
    """What charlm remembers may be anything and fills no memory."""
    expected = build_corpus(config_of(cached_text))
    measurements.remember("y", 1)
    remembered = [*(cache / "corpora").rglob("*.json"), cache / "measurements.json"]
    for path in remembered:
        path.write_text(written)
        tracemalloc.start()
        assert facts(build_corpus(config_of(cached_text))) == facts(expected)
        assert measurements.remembered("x") is None
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
        tracemalloc.stop()
    measurements.remember("x", 1)
    assert measurements.remembered("x") == 1


def test_what_cannot_be_remembered_leaves_no_file(cache: Path) -> None:
    (cache / "measurements.json").mkdir(parents=True)  # in the place of the file
    measurements.remember("x", 1)
    assert measurements.remembered("x") is None
    assert [path.name for path in cache.glob("measurements*")] == ["measurements.json"]
