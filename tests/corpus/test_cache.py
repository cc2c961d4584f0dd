"""Laws of cached corpora: never of another text or setting, never damaged."""

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.corpora import (
    config_of,
    decoded,
    facts,
    files_below,
)
from support.texts import CACHED_TEXT

from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import SPLITS
from charlm.corpus.vocabulary import Vocabulary

VARIANTS: list[dict[str, Any]] = [
    {},
    {"unit": "byte"},
    {"encoding": "latin-1"},
    {"newlines": "space"},
    {"normal_form": "NFC"},
    {"normal_form": "NFD"},
    {"normal_form": "NFKC"},
    {"max_characters": 100},
    {"max_characters": 101},
    {"minimum_count": 2},
    {"minimum_count": 30},
    {"vocabulary_from": "all"},
    {"split": (0.5, 0.25, 0.25)},
    {"split": (0.5, 0.5, 0.0)},
]


def test_a_second_call_encodes_nothing(cached_text: Path, cache: Path) -> None:
    def written() -> dict[Path, tuple[int, int]]:
        stats = {path: path.stat() for path in files_below(cache)}
        return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in stats.items()}

    first = build_corpus(config_of(cached_text))
    before = written()
    second = build_corpus(config_of(cached_text))
    assert before
    assert written() == before
    assert second.fingerprint == first.fingerprint
    assert facts(second) == facts(first)


def test_the_same_content_is_encoded_once(cached_text: Path, cache: Path) -> None:
    """The same content under another name is not encoded again."""
    first = build_corpus(config_of(cached_text))
    before = files_below(cache)
    moved = cached_text.rename(cached_text.with_name("moved"))
    assert build_corpus(config_of(moved)).fingerprint == first.fingerprint
    assert files_below(cache) == before


def test_no_setting_is_served_the_ids_of_another(
    cached_text: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text("another text, for another part")
    variants = [
        *VARIANTS,
        {"validation_paths": (str(other),)},
        {"test_paths": (str(other),)},
        {"validation_paths": (str(other),), "test_paths": (str(other),)},
        {"paths": (str(cached_text), str(other))},
        {"paths": (str(other), str(cached_text))},
    ]
    vocabulary: Vocabulary | None = None
    vocabularies = [Vocabulary((ord("a"), ord("e"))), Vocabulary((ord("a"), ord("f")))]
    cases = [(config_of(cached_text, **keys), vocabulary) for keys in variants]
    cases += [(config_of(cached_text), vocabulary) for vocabulary in vocabularies]
    shared = [facts(build_corpus(*case)) for case in cases]
    again = [facts(build_corpus(*case)) for case in cases]
    fresh = []
    for number, case in enumerate(cases):
        monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / f"fresh-{number}"))
        fresh.append(facts(build_corpus(*case)))
    assert shared == fresh
    assert again == fresh


def test_a_change_of_the_same_size_and_time(cached_text: Path, cache: Path) -> None:
    """A changed text of the same size and time is not served stale."""
    time = cached_text.stat()
    first = build_corpus(config_of(cached_text, vocabulary_from="all"))
    changed = CACHED_TEXT.replace("zwei", "drei")
    cached_text.write_text(changed, "utf-8", newline="")
    os.utime(cached_text, ns=(time.st_atime_ns, time.st_mtime_ns))
    assert cached_text.stat().st_size == time.st_size
    assert cached_text.stat().st_mtime_ns == time.st_mtime_ns
    second = build_corpus(config_of(cached_text, vocabulary_from="all"))
    assert second.fingerprint != first.fingerprint
    assert decoded(second) == changed


def test_cached_ids_are_mapped_and_not_read(cached_text: Path, cache: Path) -> None:
    for _ in range(2):
        for part in build_corpus(config_of(cached_text)).splits.values():
            assert isinstance(part.ids, np.memmap)


def test_packed_bytes_are_another_text(tmp_path: Path, cache: Path) -> None:
    """The same bytes packed and not packed are two texts.

    A name that ends in .gz changes what the bytes mean.
    """
    data = gzip.compress(CACHED_TEXT.encode())
    plain, packed = tmp_path / "text.bin", tmp_path / "text.gz"
    plain.write_bytes(data)
    packed.write_bytes(data)
    lengths = [
        sum(map(len, build_corpus(config_of(path, unit="byte")).splits.values()))
        for path in (plain, packed)
    ]
    assert lengths == [len(data), len(CACHED_TEXT.encode())]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "cut in half": lambda data: data[: len(data) // 2],
    "cut by one": lambda data: data[:-1],
    "longer by one": lambda data: data + b"1",
    "emptied": lambda data: b"",
    "deleted": lambda data: None,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cache_entry(
    damage: Callable[[bytes], bytes | None],
    cached_text: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A damaged entry of the cache is built again."""
    config = config_of(cached_text)
    expected = facts(build_corpus(config))
    num_files = len(files_below(cache))

    def after_damage(number: int) -> str:
        """Damage one file of a fresh cache, and say what comes of it and how the file is named."""
        fresh = tmp_path / str(number)
        monkeypatch.setenv("CHARLM_CACHE", str(fresh))
        build_corpus(config)
        path = sorted(files_below(fresh))[number]
        if (data := damage(path.read_bytes())) is None:
            path.unlink()
        else:
            path.write_bytes(data)
        try:
            is_good = facts(build_corpus(config)) == expected
            return f"{path.name} {'built again' if is_good else 'served damaged'}"
        except Exception as error:
            return f"{path.name} {error!r}"

    outcomes = [after_damage(number) for number in range(num_files)]
    assert [line for line in outcomes if not line.endswith("built again")] == []


def _swapped(data: bytes) -> bytes:
    return data[:4] + data[5:6] + data[4:5] + data[6:]


@pytest.mark.parametrize("limit", [None, 100])
@pytest.mark.parametrize("name", [*(f"{part}.ids" for part in SPLITS), "corpus.json"])
def test_another_content_is_encoded_again(
    name: str, limit: int | None, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another content of the same size and time is built again.

    But for files so long that to read them each time would cost more than it is worth.
    """
    if limit is not None:
        monkeypatch.setattr("charlm.corpus.cache_files._MAX_DIGESTED_BYTES", limit)
    path = tmp_path / "text"
    path.write_text("".join(f"{number} of many, " for number in range(500)))
    first = build_corpus(config_of(path, vocabulary_from="all"))
    file = cache / "corpora" / first.fingerprint / name
    is_checked = name == "corpus.json" or limit is None or file.stat().st_size <= limit
    expected, before = facts(first), file.stat()
    data = file.read_bytes()
    changed = data.replace(b", 0]", b", 9]", 1) if b"{" in data else b""  # unknown characters
    with file.open("r+b") as opened:
        opened.write(changed or _swapped(data))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.read_bytes() != data
    assert (facts(build_corpus(config_of(path, vocabulary_from="all"))) == expected) is is_checked


def test_a_cache_entry_without_digests(cached_text: Path, cache: Path) -> None:
    """An entry of the cache without digests is built again.

    As one was written before there were any; it has no hapaxes either.
    """
    expected = build_corpus(config_of(cached_text))
    file = cache / "corpora" / expected.fingerprint / "corpus.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({k: about[k] for k in ("vocabulary", "splits", "written")}))
    assert facts(build_corpus(config_of(cached_text))) == facts(expected)
    assert "sha256" in json.loads(file.read_text())


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_unguarded_ids_are_on_the_disk_first(
    limit: int, cached_text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that no digest guards are on the disk before they take their place."""
    monkeypatch.setattr("charlm.corpus.cache_files._MAX_DIGESTED_BYTES", limit)
    synced: list[tuple[str, int]] = []

    def note(path: Path) -> None:
        assert not (path.parent / "corpus.json").exists()
        synced.append((path.name, path.stat().st_size))

    monkeypatch.setattr("charlm.corpus.cache.sync", note)
    corpus = build_corpus(config_of(cached_text))
    sizes = [
        (f"{name}.{kind}", array.nbytes)
        for name, part in corpus.splits.items()
        for kind, array in (("ids", part.ids), ("unknown", part.unknown))
    ]
    assert synced == [(name, size) for name, size in sizes if size > limit]
    assert len(synced) == (0 if limit else 4)


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "hapaxes in words": lambda about: about.update(hapaxes=["x"]),
    "a hapax in halves": lambda about: about.update(hapaxes=[1.5]),
    "a hapax beyond the vocabulary": lambda about: about.update(hapaxes=[10**6]),
    "line ends in words": lambda about: about.update(line_ends=["x"]),
    "negative line ends": lambda about: about.update(line_ends=[[-1, 1, 1]]),
    "uncounted line ends": lambda about: about.update(line_ends=3),
    "a smaller vocabulary": lambda about: about["vocabulary"].update(symbols=[10, 97]),
    "more unknown than there are": lambda about: about["splits"]["test"].__setitem__(1, 999),
    "an unknown less": lambda about: about["splits"]["test"].__setitem__(1, -1),
    "a true count": lambda about: about["splits"]["test"].__setitem__(1, False),
    "a character less": lambda about: about["splits"]["test"].__setitem__(0, 1),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_cache_entry(
    forge: Callable[[dict[str, Any]], object], cached_text: Path, cache: Path
) -> None:
    """A forged entry of the cache is built again.

    Its digest is right: there is no key to it.
    """
    expected = build_corpus(config_of(cached_text))
    file = cache / "corpora" / expected.fingerprint / "corpus.json"
    about = json.loads(file.read_text())
    del about["sha256"]
    forge(about)
    about["sha256"] = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    file.write_text(json.dumps(about))
    assert facts(build_corpus(config_of(cached_text))) == facts(expected)


@pytest.mark.long
def test_a_full_vocabulary_is_cached(tmp_path: Path, cache: Path) -> None:
    """A vocabulary of all code points is cached."""
    path = tmp_path / "all"
    path.write_text("".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])), "utf-32")
    config = config_of(path, encoding="utf-32", split=(1.0, 0.0, 0.0))
    corpus = build_corpus(config)
    assert len(corpus.hapaxes) == len(corpus.vocabulary) - 1 > 1_100_000
