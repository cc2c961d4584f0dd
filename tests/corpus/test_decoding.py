"""Laws of reading: pieces join to the file, and damage is named by its place."""

import gzip
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.corpora import FORMS, MARK, any_character, any_text, awkward, blocks, read
from support.properties import examples

from charlm.corpus.file_kinds import kind_of, mismatch
from charlm.errors import CorpusError


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
    newlines=st.sampled_from(["keep", "unify", "space"]),
    form=st.sampled_from(["none", *FORMS]),
    block=blocks,
)
@example(text="a\r\n", newlines="unify", form="none", block=2)
@example(text="a\rb\r", newlines="space", form="none", block=1)
@example(text="\r\r\n\n", newlines="unify", form="NFC", block=1)
@examples(100)
def test_a_file_read_in_pieces(
    encoding: str, text: str, newlines: str, form: str, block: int, scratch: Path
) -> None:
    """A file read in pieces gives the symbols of the whole."""
    data = text.lstrip(MARK).encode(encoding, "ignore")
    assume(mismatch(data, encoding) is None)  # such as the mark of UTF-16, in another encoding
    path = scratch / "text"
    path.write_bytes(data)
    expected = processed(data.decode(encoding).removeprefix(MARK), newlines, form)
    keys: dict[str, Any] = {"encoding": encoding, "newlines": newlines, "normal_form": form}
    assert read(path, block=block, **keys) == read(path, **keys) == expected


@given(data=st.binary(max_size=60), block=blocks)
@examples(60)
def test_bytes_are_read_as_they_are(data: bytes, block: int, scratch: Path) -> None:
    path = scratch / "text"
    path.write_bytes(data)
    assert read(path, block=block, unit="byte") == data.decode("latin-1")


@given(texts=st.lists(any_text, min_size=1, max_size=4), limit=st.integers(1, 20), block=blocks)
@example(texts=["abcdefghijk", "lmn"], limit=3, block=5)
@example(texts=["abc", "def", "ghi"], limit=5, block=2)
@example(texts=["\ud800\ufeff"], limit=1, block=1)
@examples(60)
def test_max_characters_is_the_beginning(
    texts: list[str], limit: int, block: int, scratch: Path
) -> None:
    """`max_characters` is the beginning of all files."""
    texts = [text.encode(errors="ignore").decode().lstrip(MARK) for text in texts]
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
    newlines=st.sampled_from(["keep", "unify", "space"]),
    form=st.sampled_from(["none", "NFC"]),
    block=blocks,
)
@examples(40)
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
@examples(40)
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
@examples(40)
def test_a_gzipped_file_reads_as_the_plain_one(text: str, block: int, scratch: Path) -> None:
    data = text.encode(errors="ignore")
    plain, packed = scratch / "text", scratch / "text.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    assert read(packed, block=block) == read(plain)


@given(place=st.integers(0), change=st.integers(1, 255), cut=st.booleans(), block=blocks)
@examples(100)
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
