"""Laws of the text's way from files to ids: vocabulary, sources, corpus."""

import errno
import glob
import gzip
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from charlm.config.load import override
from charlm.config.schema import Config, CorpusConfig
from charlm.corpus.builder import build_corpus, encode_files
from charlm.corpus.corpus import PARTS, Corpus, Part
from charlm.corpus.decoding import as_read, read_symbols
from charlm.corpus.file_kinds import kind_of
from charlm.corpus.files import find_files
from charlm.corpus.normalization import joins_none_before, normalised
from charlm.corpus.vocabulary import Symbols, Vocabulary, code_points
from charlm.errors import CorpusError, VocabularyError
from charlm.files import measurements
from charlm.files.build_folder import RESERVED

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: list[Form] = ["NFC", "NFD", "NFKC", "NFKD"]
WHOLE = (1.0, 0.0, 0.0)
MARK = "\ufeff"

any_character = st.characters(exclude_categories=())  # surrogates included
"""All of Unicode, with what tends to go wrong drawn more often."""
awkward = st.sampled_from(
    "\r\n\t\0 a1é你한😀\x7f\x80\x85\u07ff\u0800\u2028\ufeff\ufffd\uffff\ud800\udfff"
    "\U00010000\U0010ffff"
)
any_text = st.text(any_character | awkward, max_size=60)

_MARKS = re.compile(
    "[\u0300\u0301\u0323\u0327\u0345\u034f\u0338\u0f71\u0f72\u3099\u09be\u0dcf\u0dca\U0001d165]+"
)
joining = st.sampled_from(
    "aeosﬁÅǅ \n\u02ff\u0300\u0301\u0323\u0327\u0345\u034f\u0338=<\u1100\u1161\u11a8\u1112가각\u0f71"
    "\u0f72\u3099かは\u09c7\u09be\u0dd9\u0dcf\u0dca\U0001d157\U0001d165\u212b\u2126①ﷺ\u3400你\ua000"
)
runs = st.builds(str.__mul__, joining, st.integers(30, 80))
"""One character over and over: longer than any buffer of a careless reader."""
joining_text = (
    st.lists(joining | runs, max_size=25)
    .map("".join)
    .filter(lambda text: all(len(marks) < 990 for marks in _MARKS.findall(text)))
)
"""Without the thousand marks on one character that charlm refuses."""

blocks = st.integers(1, 7)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("CHARLM_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property write to."""
    return tmp_path_factory.mktemp("scratch")


def config_of(*paths: Path | str, **keys: Any) -> CorpusConfig:
    return CorpusConfig(**{"paths": tuple(str(path) for path in paths), **keys})


def text_of(pieces: Sequence[Symbols]) -> str:
    joined = np.concatenate([np.zeros(0, "<u4"), *pieces]).astype("<u4")
    return joined.tobytes().decode("utf-32-le", "surrogatepass")


def read(*files: Path, block: int | None = None, **keys: Any) -> str:
    """Read files in pieces of `block` bytes."""
    with pytest.MonkeyPatch.context() as patch:
        if block is not None:
            patch.setattr("charlm.corpus.decoding._BLOCK", block)
        return text_of(list(read_symbols(files, config_of("unused", **keys))))


def decoded(corpus: Corpus) -> str:
    """Put the parts of a corpus together again."""
    return "".join(corpus.vocabulary.decode(corpus.parts[name].ids) for name in PARTS)


def facts(corpus: Corpus) -> tuple[Any, ...]:
    """All that is known of a corpus but its fingerprint."""

    def of_part(part: Part) -> tuple[Any, ...]:
        return part.ids.tolist(), part.unknown.tolist(), part.measure(0, len(part))

    parts = (of_part(corpus.parts[name]) for name in PARTS)
    return corpus.vocabulary, corpus.hapaxes, *parts


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


# Vocabulary


@given(any_text)
@settings(deadline=None)
def test_decoding_what_was_encoded_gives_the_text(text: str) -> None:
    vocabulary = Vocabulary(tuple(sorted(map(ord, set(text)))))
    ids = vocabulary.encode_text(text)
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text


@given(any_text)
@settings(deadline=None)
def test_decoding_encoded_bytes_gives_the_text(text: str) -> None:
    text = text.encode(errors="ignore").decode()  # UTF-8 has no bytes for surrogates
    vocabulary = Vocabulary.of_bytes()
    ids = vocabulary.encode_text(text)
    assert bytes(ids.tolist()) == text.encode()
    assert vocabulary.decode(ids) == text


@given(any_text)
@settings(deadline=None)
def test_any_text_has_bytes_and_code_points(text: str) -> None:
    assert code_points(text).tolist() == [ord(character) for character in text]
    as_bytes = Vocabulary.of_bytes().encode_text(text)
    assert bytes(as_bytes.tolist()) == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("last", "size"),
    [("\x7f", 1), ("\x80", 2), ("\ud800", 2), ("\uffff", 2), ("\U00010000", 4)],
)
def test_code_points_are_narrow(last: str, size: int) -> None:
    """Code points are as narrow as the text allows."""
    assert code_points(f"a{last}").dtype.itemsize == size


@given(any_text, st.integers(1, 4))
@settings(deadline=None)
def test_a_vocabulary_keeps_what_is_frequent(text: str, minimum_count: int) -> None:
    """A vocabulary keeps what is frequent in the order of code points."""
    counts = np.bincount(code_points(text).astype(np.int64), minlength=1)
    vocabulary = Vocabulary.from_counts(counts, minimum_count)
    kept = [ord(character) for character, n in Counter(text).items() if n >= minimum_count]
    assert list(vocabulary.symbols) == sorted(kept)


@given(any_text, any_text)
@settings(deadline=None)
def test_ids_are_a_bijection(known: str, text: str) -> None:
    """Ids are a bijection and what is outside has the unknown id."""
    vocabulary = Vocabulary(tuple(sorted(map(ord, set(known)))))
    assert len(vocabulary) == len(set(known)) + 1
    of_known = vocabulary.encode(code_points("".join(sorted(set(known))))).tolist()
    assert of_known == list(range(1, len(vocabulary)))
    ids = vocabulary.encode(code_points(text)).tolist()
    assert [i == vocabulary.unknown_id for i in ids] == [c not in known for c in text]


@given(any_text, any_text)
@settings(deadline=None)
def test_unknown_characters(known: str, text: str) -> None:
    """Unknown characters are named or skipped or mapped."""
    vocabulary = Vocabulary(tuple(sorted(map(ord, set(known)))))
    inside = "".join(character for character in text if character in known)
    assert vocabulary.decode(vocabulary.encode_text(text, "skip")) == inside
    mapped = vocabulary.decode(vocabulary.encode_text(text, "map"))
    assert mapped == "".join(c if c in known else "\N{REPLACEMENT CHARACTER}" for c in text)
    if inside != text:
        place, missing = next((i, c) for i, c in enumerate(text, 1) if c not in known)
        with pytest.raises(
            VocabularyError, match=rf"U\+{ord(missing):04X} .*character {place} "
        ) as refusal:
            vocabulary.encode_text(text)
        others = len(set(text) - set(known) - {missing})
        assert str(refusal.value).count(", nor ") == min(others, 6)
        assert (f", nor {others - 5} more;" in str(refusal.value)) is (others > 5)


@given(any_text.filter(bool))  # an empty one is refused
@settings(deadline=None)
def test_a_vocabulary_survives_json(text: str) -> None:
    for vocabulary in (Vocabulary(tuple(sorted(map(ord, set(text))))), Vocabulary.of_bytes()):
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


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
    ids = corpus.parts["train"].ids
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
        patch.setattr("charlm.corpus.decoding._BLOCK", 512)
        widths = {piece.dtype.itemsize for piece in read_symbols([path], config_of("unused"))}
        corpus = build_corpus(config_of(path, vocabulary_from="all"))
    assert widths == {1, 2, 4}
    assert decoded(corpus) == text


# Sources: pieces


def processed(text: str, newlines: str, form: str) -> str:
    """Do to a whole text what charlm does in pieces."""
    if newlines != "keep":
        text = re.sub("\r\n?", "\n", text)
    if newlines == "space":
        text = text.replace("\n", " ")
    return text if form == "none" else unicodedata.normalize(form, text)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030", "latin-1", "shift_jis"])
@given(
    text=st.text(any_character | awkward, max_size=30)
    | st.text(st.sampled_from("a\r\n\r\né你"), max_size=30),
    newlines=st.sampled_from(["keep", "normalise", "space"]),
    form=st.sampled_from(["none", *FORMS]),
    block=blocks,
)
@example(text="a\r\n", newlines="normalise", form="none", block=2)
@example(text="a\rb\r", newlines="space", form="none", block=1)
@example(text="\r\r\n\n", newlines="normalise", form="NFC", block=1)
@settings(max_examples=100, deadline=None)
def test_a_file_read_in_pieces(
    encoding: str, text: str, newlines: str, form: str, block: int, scratch: Path
) -> None:
    """A file read in pieces gives the symbols of the whole."""
    data = text.lstrip(MARK).encode(encoding, "ignore")
    path = scratch / "text"
    path.write_bytes(data)
    expected = processed(data.decode(encoding).removeprefix(MARK), newlines, form)
    keys: dict[str, Any] = {"encoding": encoding, "newlines": newlines, "normal_form": form}
    assert read(path, block=block, **keys) == read(path, **keys) == expected


@pytest.mark.parametrize("form", FORMS)
@given(text=joining_text, block=blocks | st.integers(8, 100))
@example(text="e" + "\u0301\u0327" * 60 + "e", block=3)
@example(text="\u1100\u1161\u11a8" * 20, block=1)
@example(text="가\u11a8" * 20, block=1)
@settings(max_examples=25, deadline=None)
def test_a_normal_form_in_pieces(form: Form, text: str, block: int, scratch: Path) -> None:
    """A normal form in pieces is that of the whole."""
    path = scratch / "text"
    path.write_text(text, "utf-8", newline="")
    assert read(path, block=block, normal_form=form) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("character", "aЯあ한กक")
def test_a_normal_form_is_not_held_whole(form: Form, character: str) -> None:
    """A text in a normal form is not held whole."""
    pieces = normalised(iter([character * 1000] * 3), form, "a text")
    for piece in (next(pieces), next(pieces), next(pieces)):
        assert len(piece) > 990


def test_what_a_normal_form_joins_is_not_cut() -> None:
    for code in range(0x110000):
        others = unicodedata.normalize("NFD", chr(code))[1:]
        assert not any(map(joins_none_before, others))
    assert joins_none_before("é") and not joins_none_before(
        "\N{HALFWIDTH KATAKANA VOICED SOUND MARK}"
    )


def test_endless_joins_are_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that join without an end are refused."""
    path = scratch / "text"
    path.write_text("ᄀ" + "\N{HANGUL JUNGSEONG A}" * 5000, "utf-8")
    monkeypatch.setattr("charlm.corpus.normalization._MOST_HELD", 1000)
    with pytest.raises(CorpusError, match=r"text: more than 1,000 characters .*normal_form"):
        read(path, normal_form="NFC")
    path.write_bytes(b"+" + b"A" * (3 << 20))
    with pytest.raises(CorpusError, match=r"text: 1,048,576 bytes .*corpus\.encoding"):
        read(path, block=1 << 19, encoding="utf-7")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("block", "end"), [(1 << 10, "b"), (1 << 18, "")])
def test_too_many_marks_are_refused(form: Form, block: int, end: str, scratch: Path) -> None:
    """More marks than can be sorted are refused."""
    path = scratch / "text"
    marks = "\u0301" * 40_000 + "\N{COMBINING GRAVE ACCENT BELOW}" * 40_000  # minutes each
    path.write_text("a" * 700 + marks + end, "utf-8")
    with pytest.raises(CorpusError, match=r"text: 1,000 marks .*normal_form"):
        read(path, block=block, normal_form=form)
    with pytest.raises(CorpusError, match=r"prefix: 1,000 marks"):
        as_read(marks + end, CorpusConfig(normal_form=form))
    many = "a" * 700 + "\u0301\u0316" * 499 + end
    path.write_text(many, "utf-8")
    assert read(path, block=block, normal_form=form) == unicodedata.normalize(form, many)


@given(data=st.binary(max_size=60), block=blocks)
@settings(max_examples=60, deadline=None)
def test_bytes_are_read_as_they_are(data: bytes, block: int, scratch: Path) -> None:
    path = scratch / "text"
    path.write_bytes(data)
    assert read(path, block=block, unit="byte") == data.decode("latin-1")


@given(texts=st.lists(any_text, min_size=1, max_size=4), limit=st.integers(1, 20), block=blocks)
@example(texts=["abcdefghijk", "lmn"], limit=3, block=5)
@example(texts=["abc", "def", "ghi"], limit=5, block=2)
@settings(max_examples=60, deadline=None)
def test_max_characters_is_the_beginning(
    texts: list[str], limit: int, block: int, scratch: Path
) -> None:
    """`max_characters` is the beginning of all files."""
    texts = [text.lstrip(MARK).encode(errors="ignore").decode() for text in texts]
    files = [scratch / str(number) for number in range(len(texts))]
    for path, text in zip(files, texts, strict=True):
        path.write_text(text, "utf-8", newline="")
    assert read(*files, block=block, max_characters=limit) == "".join(texts)[:limit]


@pytest.mark.parametrize("block", [1, 2, 3, 4, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_a_byte_order_mark_is_removed(encoding: str, block: int, tmp_path: Path) -> None:
    """One byte order mark is removed at the start of each file."""
    plain = {"utf-8-sig": "utf-8", "utf-16": f"utf-16-{sys.byteorder[0]}e"}.get(encoding, encoding)
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.write_bytes(f"{MARK}a{MARK}b".encode(plain))
    assert read(*paths, block=block, encoding=encoding) == f"a{MARK}b" * 2


@pytest.mark.parametrize("block", [1, 3, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_a_second_byte_order_mark_stays(encoding: str, block: int, tmp_path: Path) -> None:
    """A second byte order mark is a character of the text."""
    plain = {"utf-8-sig": "utf-8", "utf-16": f"utf-16-{sys.byteorder[0]}e"}.get(encoding, encoding)
    path = tmp_path / "text"
    path.write_bytes(f"{MARK}{MARK}a".encode(plain))
    assert read(path, block=block, encoding=encoding) == f"{MARK}a"


# Sources: damaged files


@pytest.mark.parametrize(
    ("encoding", "wrong"),
    [
        ("utf-8", b"\xff"),
        ("utf-8", b"\xed\xa0\x80"),  # a surrogate
        ("ascii", b"\x80"),
        ("gb18030", b"\xff"),
        ("utf-16-le", b"\x00\xdc"),
        ("shift_jis", b"\xff"),
    ],
)
@given(
    before=any_text,
    after=any_text,
    newlines=st.sampled_from(["keep", "normalise", "space"]),
    form=st.sampled_from(["none", "NFC"]),
    block=blocks,
)
@settings(max_examples=40, deadline=None)
def test_a_wrong_byte_is_named_by_its_place(
    encoding: str,
    wrong: bytes,
    before: str,
    after: str,
    newlines: str,
    form: str,
    block: int,
    scratch: Path,
) -> None:
    """A wrong byte is named by its place in the file."""
    path = scratch / "text"
    start, end = (text.encode(encoding, "ignore") for text in (before, after))
    assume(kind_of(start + wrong + end) is None)  # such as a pickle, which is named instead
    path.write_bytes(start + wrong + end)
    keys: dict[str, Any] = {"encoding": encoding, "newlines": newlines, "normal_form": form}
    for size in (block, None):
        with pytest.raises(CorpusError, match=rf"byte {len(start)} is not .*{wrong[0]:#04x}"):
            read(path, block=size, **keys)


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["no mark", "mark"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_shifts_no_place(
    encoding: str, start: bytes, block: int, tmp_path: Path
) -> None:
    """A byte order mark does not shift the place of a wrong byte."""
    path = tmp_path / "text"
    path.write_bytes(start + b"abc\xffde")
    with pytest.raises(CorpusError, match=rf"byte {len(start) + 3} is not"):
        read(path, block=block, encoding=encoding)


@given(
    text=any_text,
    beginning=st.sampled_from([b"\xe2", b"\xe2\x82", b"\xf0\x9f\x98"]),
    block=blocks,
)
@settings(max_examples=40, deadline=None)
def test_a_file_that_ends_inside_a_character(
    text: str, beginning: bytes, block: int, scratch: Path
) -> None:
    """A file that ends inside a character is an error at its first byte."""
    path = scratch / "text"
    data = text.encode(errors="ignore")
    path.write_bytes(data + beginning)
    with pytest.raises(CorpusError, match=rf"byte {len(data)} is not"):
        read(path, block=block)


def test_utf_16_without_a_byte_order_mark(tmp_path: Path) -> None:
    """UTF-16 without a byte order mark is an error and not a guess."""
    path = tmp_path / "text"
    path.write_bytes("a text".encode("utf-16-be"))
    with pytest.raises(CorpusError, match=r"corpus\.encoding"):
        read(path, encoding="utf-16")


@given(text=any_text, block=blocks)
@settings(max_examples=40, deadline=None)
def test_a_gzipped_file_reads_as_the_plain_one(text: str, block: int, scratch: Path) -> None:
    data = text.encode(errors="ignore")
    plain, packed = scratch / "text", scratch / "text.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    assert read(packed, block=block) == read(plain)


@given(place=st.integers(0), change=st.integers(1, 255), cut=st.booleans(), block=blocks)
@settings(max_examples=100, deadline=None)
def test_a_damaged_gzip_file(place: int, change: int, cut: bool, block: int, scratch: Path) -> None:
    """A damaged gzip file is an error or harmless but never another text."""
    text = "A line, and another one like it.\n" * 5 + "你好"
    whole = gzip.compress(text.encode())
    place %= len(whole)
    damaged = bytearray(whole)
    damaged[place] ^= change
    path = scratch / "text.gz"
    path.write_bytes(whole[: max(1, place)] if cut else damaged)
    if cut:
        with pytest.raises(CorpusError, match="gzip"):
            read(path, block=block)
        return
    try:
        arrived = read(path, block=block)
    except CorpusError:
        return
    assert arrived == text


def test_a_wrong_byte_in_a_gzipped_file(tmp_path: Path) -> None:
    """A wrong byte in a gzipped file is named by its place in the text."""
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"a" * 5000 + b"\xff"))
    with pytest.raises(CorpusError, match="byte 5000 is not"):
        read(path, block=64)


# Sources: names


def test_a_folder_gives_its_files_in_order(tmp_path: Path) -> None:
    """A folder gives all its files in order without hidden ones."""
    names = ["b.txt", "a.txt", "sub/deep/d", "sub/c.txt", ".hidden", ".git/x.txt", "sub/.y"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    expected = [tmp_path / name for name in ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d"]]
    assert find_files([str(tmp_path)]) == expected


def test_a_folder_that_is_itself_hidden_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".texts"
    folder.mkdir()
    (folder / "a").write_text("a")
    assert find_files([str(folder)]) == [folder / "a"]


def test_globs_give_files_in_order(tmp_path: Path) -> None:
    for name in ["b.txt", "a.txt", "c.md", "sub.txt/d.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert find_files([str(tmp_path / "*.txt")]) == [tmp_path / "a.txt", tmp_path / "b.txt"]
    deep = [tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "sub.txt" / "d.txt"]
    assert find_files([str(tmp_path / "**" / "*.txt")]) == deep


def test_several_names_keep_their_order(tmp_path: Path) -> None:
    """Several names keep their order and give each file once."""
    for name in ["a", "b", "c"]:
        (tmp_path / name).write_text(name)
    names = [str(tmp_path / "c"), str(tmp_path / "*"), str(tmp_path), str(tmp_path / "a")]
    assert find_files(names) == [tmp_path / "c", tmp_path / "a", tmp_path / "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_links_are_not_followed_endlessly(tmp_path: Path) -> None:
    """Links to folders are not followed endlessly.

    Two of them give 2⁴⁰ paths to one file, and 40 stars as many.
    """
    text = tmp_path / "texts" / "text.txt"
    text.parent.mkdir()
    text.write_text("text")
    for name in "ab":
        (text.parent / name).symlink_to(".")
    folder = str(text.parent)
    for name in (f"{folder}/**/*.txt", f"{folder}/**", f"{folder}/**/**/**/*", folder):
        assert find_files([name]) == [text]
    assert len(find_files([f"{folder}/{'*/' * 35}text.txt"])) == 1
    (tmp_path / "linked").symlink_to(folder)
    assert find_files([str(tmp_path / "link*" / "*.txt")]) == [tmp_path / "linked" / "text.txt"]
    assert find_files([str(tmp_path / "**" / "*.txt")]) == [text]
    assert find_files([str(tmp_path)]) == [text]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_first_of_several_links_names_a_folder(tmp_path: Path) -> None:
    """The order in which the file system lists links to one folder does not decide its name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text").write_text("text")
    for name in "qbzam":
        (tmp_path / name).symlink_to("folder")
    assert find_files([str(tmp_path / "*" / "text")]) == [tmp_path / "a" / "text"]
    assert find_files([str(tmp_path / "?" / "**" / "text")]) == [tmp_path / "a" / "text"]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_a_file_and_a_link_to_it_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "again").symlink_to(tmp_path / "text")
    assert find_files([str(tmp_path)]) == [tmp_path / "again"]
    assert find_files([str(tmp_path / name) for name in ("text", "again")]) == [tmp_path / "text"]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", ["a.txt", "b.md"]),
        ("**", ["a.txt", "b.md", "sub/c.txt"]),
        ("**/c*", ["sub/c.txt"]),
        ("sub/**/*.txt", ["sub/c.txt"]),
        ("**/.x/*", ["sub/.x/d.txt"]),
        (".*", [".hidden"]),
        ("[ab].*", ["a.txt", "b.md"]),
        ("?.txt/*", []),
        ("sub/*/**/d.txt", []),
    ],
)
def test_a_glob_matches_what_a_shell_does(pattern: str, matches: list[str], tmp_path: Path) -> None:
    for name in ["a.txt", "b.md", "sub/c.txt", "sub/.x/d.txt", ".hidden"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    by_glob = glob.glob(str(tmp_path / pattern), recursive=True)  # noqa: PTH207 - hides what is hidden
    assert sorted(map(Path, matches)) == [
        Path(path).relative_to(tmp_path) for path in sorted(by_glob) if Path(path).is_file()
    ]
    if matches:
        assert find_files([str(tmp_path / pattern)]) == [tmp_path / name for name in matches]
    else:
        with pytest.raises(CorpusError, match="no such file"):
            find_files([str(tmp_path / pattern)])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["device", "pipe", "socket"])
def test_what_is_no_regular_file_is_no_text(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    if kind == "pipe":
        os.mkfifo("odd")
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "socket":
            server.bind("odd")
        name = "/dev/zero" if kind == "device" else "odd"
        with pytest.raises(CorpusError, match=rf"^{name}: neither .* standard input \(-\)"):
            build_corpus(config_of(name))
        (tmp_path / "text").write_text("text")
        assert find_files([str(tmp_path)]) == [tmp_path / "text"]


@pytest.mark.parametrize("name", ["lyrics [1999].txt", "[a]", "what?", "star*.txt"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_a_file_name_like_a_glob(name: str, tmp_path: Path) -> None:
    """A name that looks like a glob is a file where there is one."""
    (tmp_path / name).write_text("this one")
    (tmp_path / "a").write_text("not this one")
    (tmp_path / "lyrics 1.txt").write_text("nor this one")
    assert find_files([str(tmp_path / name)]) == [tmp_path / name]


def test_a_glob_in_a_folder_with_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glob works in a current folder whose own name holds brackets."""
    folder = tmp_path / "songs [1999]"
    folder.mkdir()
    (folder / "one.txt").write_text("A song of some length.\n" * 10)
    monkeypatch.chdir(folder)
    config = override(Config(), [], "*.txt").corpus
    assert decoded(build_corpus(config)) == "A song of some length.\n" * 10


@pytest.mark.parametrize(
    "name",
    [
        "missing.txt",
        "missing/*.txt",
        "nul\0character",
        "lone\ud800surrogate",
        "a text given where its path belongs " * 20,
        "~no-user-of-this-name/text",
    ],
    ids=lambda name: ascii(name[:20]),
)
def test_a_name_without_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a file is an error that repeats it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=f"^{re.escape(name)}.*(no such file|too long)"):
        find_files([name])


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


# Corpus


@given(
    text=st.text(any_character | awkward, min_size=8, max_size=60),
    piece=st.integers(1, 9),
    split=st.sampled_from([WHOLE, (0.5, 0.25, 0.25), (0.25, 0.0, 0.75)]),
)
@settings(max_examples=60, deadline=None)
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
        patch.setattr("charlm.corpus.decoding._BLOCK", piece)
        corpus = build_corpus(config_of(path, split=split, vocabulary_from="all"))
    assert decoded(corpus) == text
    for part in corpus.parts.values():
        stretch = corpus.vocabulary.decode(part.ids)
        assert part.measure(0, len(part)) == (len(stretch.encode()), 0)
        assert part.measure(0, 1) == (len(stretch[:1].encode()), 0)
        assert part.num_unknown == 0


@given(data=st.binary(min_size=8, max_size=60))
@settings(max_examples=30, deadline=None)
def test_the_parts_of_bytes_join_to_the_file(data: bytes, scratch: Path) -> None:
    path = scratch / "text"
    path.write_bytes(data)
    corpus = build_corpus(config_of(path, unit="byte", split=(0.5, 0.25, 0.25)))
    assert bytes(np.concatenate([corpus.parts[name].ids for name in PARTS]).tolist()) == data
    assert len(corpus.vocabulary) == 256
    for part in corpus.parts.values():
        assert part.measure(0, len(part)) == (len(part), 0)
    assert sum(part.num_unknown for part in corpus.parts.values()) == 0


@given(
    text=st.text(st.sampled_from("abcdé你\n"), min_size=4, max_size=40),
    minimum_count=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
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
    part = corpus.parts["train"]
    assert part.num_unknown == sum(character in rare for character in text)
    assert part.measure(0, len(text)) == (len(text.encode()), part.num_unknown)


@given(
    text=st.text(any_character, min_size=2, max_size=40),
    held_out=st.text(any_character, min_size=2, max_size=40),
    minimum_count=st.integers(1, 3),
)
@example(text="aabc", held_out="bb", minimum_count=1)
@settings(max_examples=40, deadline=None)
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
    assert [of_train.parts[name].num_unknown for name in PARTS] == [0, 2, 5]
    of_all = build_corpus(config_of(path, vocabulary_from="all"))
    assert of_all.vocabulary.symbols == (ord("a"), ord("b"), ord("c"))
    assert [of_all.parts[name].num_unknown for name in PARTS] == [0, 0, 0]


def test_an_existing_vocabulary_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("abcabcabca" * 10)
    vocabulary = Vocabulary((ord("a"), ord("b"), ord("z")))
    corpus = build_corpus(config_of(path, minimum_count=1000), vocabulary)
    assert corpus.vocabulary == vocabulary
    assert [corpus.parts[name].num_unknown for name in PARTS] == [27, 1, 2]
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


# The split


@given(
    length=st.integers(0, 400) | st.integers(400, 4000),
    split=st.sampled_from(
        [
            ((0.9, 0.05, 0.05), 0.95),
            ((0.9, 0.1, 0.0), 1.0),
            ((0.8, 0.1, 0.1), 0.9),
            ((0.7, 0.2, 0.1), 0.9),
            ((0.7, 0.1, 0.2), 0.8),
            ((0.6, 0.1, 0.3), 0.7),
            ((0.5, 0.0, 0.5), 0.5),
            ((0.98, 0.01, 0.01), 0.99),
            (WHOLE, 1.0),
        ]
    ),
)
@example(length=10, split=((0.7, 0.1, 0.2), 0.8))
@example(length=100, split=((0.7, 0.2, 0.1), 0.9))
@example(length=1_115_394, split=((0.9, 0.1, 0.0), 1.0))  # Tiny Shakespeare, as others cut it
@settings(max_examples=60, deadline=None)
def test_no_split_is_too_short(
    length: int, split: tuple[tuple[float, float, float], float], scratch: Path
) -> None:
    """The split is where everybody cuts and no split is too short."""
    fractions, until_test = split
    path = scratch / "text"
    path.write_text("x" * length)
    ends = [int(fractions[0] * length), int(until_test * length), length]
    expected = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    wanted = zip(PARTS, expected, fractions, strict=True)
    short = [name for name, size, fraction in wanted if fraction and size < 2]
    if short:
        problem = short[0] if length else "empty"
        with pytest.raises(CorpusError, match=problem):
            build_corpus(config_of(path, split=fractions))
    else:
        corpus = build_corpus(config_of(path, split=fractions))
        assert [len(corpus.parts[name]) for name in PARTS] == expected


@pytest.mark.parametrize("unit", ["character", "byte"])
@pytest.mark.parametrize("character", ["x", "雨"])  # ids as wide as symbols, and narrower
def test_validation_may_come_first(tmp_path: Path, unit: str, character: str) -> None:
    """The validation split may come first and the test split stays."""
    text = "".join(f"{number} {character}, " for number in range(500))
    path = tmp_path / "text"
    path.write_text(text)
    about = {"split": (0.7, 0.1, 0.2), "vocabulary_from": "all", "unit": unit}
    usual = build_corpus(config_of(path, **about))
    first = build_corpus(config_of(path, **about, validation_first=True))
    ids = [first.parts[name].ids for name in ("validation", "train", "test")]
    assert first.vocabulary.decode(np.concatenate(ids)) == text
    assert len(first.parts["validation"]) == len(usual.parts["validation"])
    assert first.parts["test"].ids.tolist() == usual.parts["test"].ids.tolist()


@pytest.mark.parametrize("given_parts", [("validation",), ("test",), ("validation", "test")])
def test_separate_files_replace_the_split(given_parts: tuple[str, ...], tmp_path: Path) -> None:
    """Separate files take the place of the split."""
    texts = {"train": "abcd" * 10, "validation": "abe" * 3, "test": "abf" * 2}
    paths = {name: tmp_path / name for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    keys = {f"{name}_paths": (str(paths[name]),) for name in given_parts}
    corpus = build_corpus(config_of(paths["train"], **keys))
    lengths = {name: len(texts[name]) for name in ("train", *given_parts)}
    assert {name: len(part) for name, part in corpus.parts.items() if len(part)} == lengths
    assert corpus.vocabulary.symbols == tuple(map(ord, "abcd"))
    unknown = {"train": 0, "validation": 3, "test": 2}
    for name in given_parts:
        part = corpus.parts["validation" if name == "validation" else "test"]
        assert part.num_unknown == unknown[name]
        assert part.measure(0, len(part)) == (len(texts[name]), unknown[name])


def test_max_characters_and_separate_files(tmp_path: Path) -> None:
    """Separate files are not cut by `max_characters`.

    The key's own words: "no more than this many characters of `paths`".
    """
    for name, length in [("train", 100), ("validation", 50), ("test", 40)]:
        (tmp_path / name).write_text("x" * length)
    corpus = build_corpus(
        config_of(
            tmp_path / "train",
            validation_paths=(str(tmp_path / "validation"),),
            test_paths=(str(tmp_path / "test"),),
            max_characters=10,
        )
    )
    assert [len(corpus.parts[name]) for name in PARTS] == [10, 50, 40]


@pytest.mark.parametrize("text", ["", MARK])
def test_an_empty_text_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text(text, "utf-8")
    with pytest.raises(CorpusError, match="empty"):
        build_corpus(config_of(path))


@pytest.mark.parametrize("name", ["validation", "test"])
def test_an_empty_separate_file(name: str, tmp_path: Path) -> None:
    """An empty separate file is an error that names the split."""
    (tmp_path / "train").write_text("x" * 100)
    (tmp_path / "empty").write_text("")
    keys = {f"{name}_paths": (str(tmp_path / "empty"),)}
    with pytest.raises(CorpusError, match=name):
        build_corpus(config_of(tmp_path / "train", **keys))


# The cache

CACHED_TEXT = "Ein Satz,\r\nzwei Sätze.\rCafe\u0301 ﬁn 你好 xyz\n" * 20 + "q"
VARIANTS: list[dict[str, Any]] = [
    {},
    {"unit": "byte"},
    {"encoding": "latin-1"},
    {"newlines": "normalise"},
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


@pytest.fixture
def cached_text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text(CACHED_TEXT, "utf-8", newline="")
    return path


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
    monkeypatch.setattr("charlm.corpus.file_digests._MOST_FILES", 2)
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

    def disturbed(files: Sequence[Path], config: CorpusConfig) -> Iterator[Symbols]:
        yield from read_symbols(files, config)
        time.sleep(0.05)
        with cached_text.open("a") as file:
            file.write("more")

    monkeypatch.setattr("charlm.corpus.builder.read_symbols", disturbed)
    with pytest.raises(CorpusError, match="changed during reading"):
        build_corpus(config_of(cached_text))
    assert not list(cache.rglob("*"))


def test_cached_ids_are_mapped_and_not_read(cached_text: Path, cache: Path) -> None:
    for _ in range(2):
        for part in build_corpus(config_of(cached_text)).parts.values():
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
        sum(map(len, build_corpus(config_of(path, unit="byte")).parts.values()))
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
@pytest.mark.parametrize("name", [*(f"{part}.ids" for part in PARTS), "corpus.json"])
def test_another_content_is_encoded_again(
    name: str, limit: int | None, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another content of the same size and time is built again.

    But for files so long that to read them each time would cost more than it is worth.
    """
    if limit is not None:
        monkeypatch.setattr("charlm.corpus.corpus._MOST_TO_DIGEST", limit)
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
    file.write_text(json.dumps({k: about[k] for k in ("vocabulary", "parts", "written")}))
    assert facts(build_corpus(config_of(cached_text))) == facts(expected)
    assert "sha256" in json.loads(file.read_text())


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_unguarded_ids_are_on_the_disk_first(
    limit: int, cached_text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that no digest guards are on the disk before they take their place."""
    monkeypatch.setattr("charlm.corpus.corpus._MOST_TO_DIGEST", limit)
    synced: list[tuple[str, int]] = []

    def note(path: Path) -> None:
        assert not (path.parent / "corpus.json").exists()
        synced.append((path.name, path.stat().st_size))

    monkeypatch.setattr("charlm.corpus.corpus.sync", note)
    corpus = build_corpus(config_of(cached_text))
    sizes = [
        (f"{name}.{kind}", array.nbytes)
        for name, part in corpus.parts.items()
        for kind, array in (("ids", part.ids), ("unknown", part.unknown))
    ]
    assert synced == [(name, size) for name, size in sizes if size > limit]
    assert len(synced) == (0 if limit else 4)


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "hapaxes in words": lambda about: about.update(hapaxes=["x"]),
    "a hapax in halves": lambda about: about.update(hapaxes=[1.5]),
    "a hapax beyond the vocabulary": lambda about: about.update(hapaxes=[10**6]),
    "a smaller vocabulary": lambda about: about["vocabulary"].update(symbols=[10, 97]),
    "more unknown than there are": lambda about: about["parts"]["test"].__setitem__(1, 999),
    "an unknown less": lambda about: about["parts"]["test"].__setitem__(1, -1),
    "a true count": lambda about: about["parts"]["test"].__setitem__(1, False),
    "a character less": lambda about: about["parts"]["test"].__setitem__(0, 1),
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


@pytest.mark.long
def test_a_full_vocabulary_is_cached(tmp_path: Path, cache: Path) -> None:
    """A vocabulary of all code points is cached."""
    path = tmp_path / "all"
    path.write_text("".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])), "utf-32")
    config = config_of(path, encoding="utf-32", split=(1.0, 0.0, 0.0))
    corpus = build_corpus(config)
    assert len(corpus.hapaxes) == len(corpus.vocabulary) - 1 > 1_100_000


def _interrupted(*_: Any) -> Iterator[Symbols]:
    yield code_points("some text")
    raise KeyboardInterrupt


def _disk_full(*_: Any) -> Iterator[Symbols]:
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


# Memory

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
build_corpus(CorpusConfig(paths=(str(path),), newlines="normalise", normal_form=form))
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

    assert peak(60_000_000) - peak(5_000_000) < 40_000_000
