"""Laws of building: a corpus is the text, with its vocabulary and its counts."""

import errno
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.corpora import (
    MARK,
    WHOLE,
    any_character,
    awkward,
    config_of,
    decoded,
    facts,
)
from support.properties import examples

from charlm.corpus.builder import build_corpus, encode_files
from charlm.corpus.corpus import SPLITS
from charlm.corpus.decoding import read_symbols
from charlm.corpus.vocabulary import Symbols, Vocabulary, code_points
from charlm.errors import CorpusError
from charlm.files.build_folder import RESERVED


@pytest.mark.parametrize(
    ("num_characters", "size"), [(1, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4)]
)
def test_ids_take_few_bytes(num_characters: int, size: int, tmp_path: Path) -> None:
    """Ids take as few bytes as the vocabulary allows."""
    everything = (chr(point) for point in range(0x20, 0x20000) if not 0xD800 <= point <= 0xDFFF)
    text = "".join(next(everything) for _ in range(num_characters)) * 2
    path = tmp_path / "text"
    path.write_text(text, "utf-8", newline="")
    corpus = build_corpus(config_of(path, split=WHOLE))
    ids = corpus.splits["train"].ids
    assert ids.dtype.kind == "u"
    assert ids.dtype.itemsize == size
    assert len(corpus.vocabulary) == num_characters + 1
    assert decoded(corpus) == text


def test_pieces_of_every_width_join_to_the_text(tmp_path: Path) -> None:
    """ASCII, then Chinese, then beyond have three widths, and the ids are wider than ASCII."""
    chinese = "".join(map(chr, range(0x4E00, 0x4F80)))
    text = "plain text, " * 5000 + chinese + "😀" * 9 + "and plain again. " * 5000
    path = tmp_path / "text"
    path.write_text(text, "utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.corpus.blocks._BLOCK_BYTES", 512)
        widths = {piece.dtype.itemsize for piece in read_symbols([path], config_of("unused"))}
        corpus = build_corpus(config_of(path, vocabulary_from="all"))
    assert widths == {1, 2, 4}
    assert decoded(corpus) == text


def test_standard_input_is_a_text_like_any_other(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text"
    for text in ["first text, é 你好\r\n" * 10, "another text\n" * 10]:
        path.write_text(text, "utf-8", newline="")
        standard_input = io.TextIOWrapper(io.BytesIO(text.encode()))
        monkeypatch.setattr(sys, "stdin", standard_input)
        assert facts(build_corpus(config_of("-"))) == facts(build_corpus(config_of(path)))
    assert not (cache / RESERVED).exists()


@given(
    text=st.text(any_character | awkward, min_size=8, max_size=60),
    piece=st.integers(1, 9),
    split=st.sampled_from([WHOLE, (0.5, 0.25, 0.25), (0.25, 0.0, 0.75)]),
)
@examples(60)
def test_the_splits_join_to_the_text(
    text: str, piece: int, split: tuple[float, float, float], scratch: Path
) -> None:
    """The splits join to the text and count its bytes."""
    text = (
        text.lstrip(MARK).encode(errors="replace").decode()
        + "\x7f\x80\u07ff\u0800\uffff\U00010000é1"
    )
    path = scratch / "text"
    path.write_text(text, "utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.corpus.blocks._BLOCK_BYTES", piece)
        corpus = build_corpus(config_of(path, split=split, vocabulary_from="all"))
    assert decoded(corpus) == text
    for part in corpus.splits.values():
        stretch = corpus.vocabulary.decode(part.ids)
        assert part.measure(0, len(part)) == (len(stretch.encode()), 0)
        assert part.measure(0, 1) == (len(stretch[:1].encode()), 0)
        assert part.num_unknown == 0


@given(data=st.binary(min_size=8, max_size=60))
@examples(30)
def test_the_parts_of_bytes_join_to_the_file(data: bytes, scratch: Path) -> None:
    path = scratch / "text"
    path.write_bytes(data)
    corpus = build_corpus(config_of(path, unit="byte", split=(0.5, 0.25, 0.25)))
    assert bytes(np.concatenate([corpus.splits[name].ids for name in SPLITS]).tolist()) == data
    assert len(corpus.vocabulary) == 256
    for part in corpus.splits.values():
        assert part.measure(0, len(part)) == (len(part), 0)
    assert sum(part.num_unknown for part in corpus.splits.values()) == 0


@given(
    text=st.text(st.sampled_from("abcdé你\n"), min_size=4, max_size=40),
    minimum_count=st.integers(1, 6),
)
@examples(40)
def test_rare_characters_share_a_symbol(text: str, minimum_count: int, scratch: Path) -> None:
    """Rarer characters share the unknown symbol and are counted."""
    assume(max(Counter(text).values()) >= minimum_count)
    path = scratch / "text"
    path.write_text(text, "utf-8", newline="")
    corpus = build_corpus(config_of(path, split=WHOLE, minimum_count=minimum_count))
    rare = {character for character, n in Counter(text).items() if n < minimum_count}
    assert set(map(chr, corpus.vocabulary.symbols)) == set(text) - rare
    shown = "".join("\N{REPLACEMENT CHARACTER}" if c in rare else c for c in text)
    assert decoded(corpus) == shown
    part = corpus.splits["train"]
    assert part.num_unknown == sum(character in rare for character in text)
    assert part.measure(0, len(text)) == (len(text.encode()), part.num_unknown)


@given(
    text=st.text(any_character, min_size=2, max_size=40),
    held_out=st.text(any_character, min_size=2, max_size=40),
    minimum_count=st.integers(1, 3),
)
@example(text="aabc", held_out="bb", minimum_count=1)
@examples(40)
def test_hapaxes_are_rare_in_training(
    text: str, held_out: str, minimum_count: int, scratch: Path
) -> None:
    """Hapaxes are known characters that training holds rarely."""
    text, held_out = ("a" + part.encode(errors="replace").decode() for part in (text, held_out))
    assume(max(Counter(text).values()) >= minimum_count)
    files = [scratch / "text", scratch / "held-out"]
    for file, part in zip(files, (text, held_out), strict=True):
        file.write_text(part, "utf-8", newline="")
    keys = {"validation_paths": (str(files[1]),), "minimum_count": minimum_count}
    corpus = build_corpus(config_of(files[0], vocabulary_from="all", **keys))
    rare = {c for c, n in Counter(text).items() if n < 2 * minimum_count}
    known = rare & set(map(chr, corpus.vocabulary.symbols))
    assert set(corpus.vocabulary.decode(corpus.hapaxes)) == known
    assert len(corpus.hapaxes) == len(known)
    assert 0 not in corpus.hapaxes
    assert build_corpus(config_of(files[0], unit="byte", split=WHOLE)).hapaxes == ()


def test_what_the_vocabulary_is_counted_on(
    tmp_path: Path,
) -> None:
    """The vocabulary is counted on the training split unless told otherwise."""
    path = tmp_path / "text"
    path.write_text("a" * 90 + "ab" * 2 + "a" + "c" * 5)
    of_train = build_corpus(config_of(path))
    assert of_train.vocabulary.symbols == (ord("a"),)
    assert [of_train.splits[name].num_unknown for name in SPLITS] == [0, 2, 5]
    of_all = build_corpus(config_of(path, vocabulary_from="all"))
    assert of_all.vocabulary.symbols == (ord("a"), ord("b"), ord("c"))
    assert [of_all.splits[name].num_unknown for name in SPLITS] == [0, 0, 0]


def test_an_existing_vocabulary_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("abcabcabca" * 10)
    vocabulary = Vocabulary((ord("a"), ord("b"), ord("z")))
    corpus = build_corpus(config_of(path, minimum_count=1000), vocabulary)
    assert corpus.vocabulary == vocabulary
    assert [corpus.splits[name].num_unknown for name in SPLITS] == [27, 1, 2]
    assert decoded(corpus) == ("abcabcabca" * 10).replace("c", "\N{REPLACEMENT CHARACTER}")


def test_a_text_to_score_is_encoded_whole(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.write_bytes(b"abc\r\n")
    settings_of_training = config_of("unused", newlines="space", max_characters=3)
    vocabulary = Vocabulary(tuple(map(ord, " ab")))
    part = encode_files([str(path) for path in paths], settings_of_training, vocabulary)
    assert vocabulary.decode(part.ids) == "ab\N{REPLACEMENT CHARACTER} " * 2
    assert part.num_unknown == 2


def _interrupted(*_: Any, **__: Any) -> Iterator[Symbols]:
    yield code_points("some text")
    raise KeyboardInterrupt


def _disk_full(*_: Any, **__: Any) -> Iterator[Symbols]:
    yield code_points("some text")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_build_leaves_only_its_entry(cached_text: Path, cache: Path) -> None:
    """A build that succeeds leaves nothing but its entry."""
    build_corpus(config_of(cached_text))
    assert {path.name for path in cache.iterdir()} == {".charlm-lock", ".charlm-made", "corpora"}
    assert len(list((cache / "corpora").iterdir())) == 1


@pytest.mark.parametrize("data", [b"", b"x", b"a text and then \xff", None])
def test_a_failed_build_leaves_no_cache(data: bytes | None, tmp_path: Path, cache: Path) -> None:
    """A build that fails leaves nothing in the cache."""
    path = tmp_path / "text"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CorpusError):
        build_corpus(config_of(path))
    assert not list(cache.rglob("*"))


@pytest.mark.parametrize(
    ("reading", "error", "message"),
    [(_disk_full, CorpusError, "free some space"), (_interrupted, KeyboardInterrupt, None)],
)
def test_a_broken_build_leaves_no_cache(
    reading: Any,
    error: type[BaseException],
    message: str | None,
    cached_text: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A build that is broken off leaves nothing in the cache."""
    monkeypatch.setattr("charlm.corpus.builder.read_symbols", reading)
    with pytest.raises(error, match=message):
        build_corpus(config_of(cached_text))
    assert not list(cache.rglob("*"))


def test_a_cache_that_cannot_be_made(cached_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be made is an error with a remedy."""
    monkeypatch.setenv("CHARLM_CACHE", str(cached_text / "below a file"))
    with pytest.raises(CorpusError, match="CHARLM_CACHE"):
        build_corpus(config_of(cached_text))


_BUILD = """
import resource, sys
from pathlib import Path
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus

size, path, form = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
lines = ("A line of a long text, in no way special.\\r\\n" * 1000).encode()
with path.open("wb") as file:
    for _ in range(size // len(lines)):
        file.write(lines)
build_corpus(CorpusConfig(paths=(str(path),), newlines="unify", normal_form=form))
assert "torch" not in sys.modules
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak * (1 if sys.platform == "darwin" else 1024))
"""
_RUN = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
"""A small process in between: a child's peak on Linux begins with the memory of its parent."""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no module `resource`")
@pytest.mark.parametrize("form", ["none", "NFC"])
def test_peak_memory_does_not_grow_with_the_text(form: str, tmp_path: Path, cache: Path) -> None:
    def peak(size: int) -> int:
        build = [sys.executable, "-c", _BUILD, str(size), str(tmp_path / "text"), form]
        done = subprocess.run(
            [sys.executable, "-c", _RUN, *build], check=True, capture_output=True, text=True
        )
        return int(done.stdout)

    assert peak(32_000_000) - peak(4_000_000) < 20_000_000
