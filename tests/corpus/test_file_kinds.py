"""A file that is not the text it is taken for is named, with the remedy; a text never is."""

import bz2
import gzip
import io
import lzma
import shlex
import sqlite3
import tarfile
import wave
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import examples

from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.file_kinds import kind_of, mismatch
from charlm.errors import CorpusError, CorpusWarning

TEXT = "The rain had stopped before the train came in, and nobody said a word. Café!\n" * 5
SENTENCES = [
    "Он сказал: «Ни слова», — и ушёл.\n",
    "Η βροχή είχε σταματήσει πριν έρθει το τρένο.\n",
    "הגשם פסק לפני שהרכבת הגיעה.\n",
    "توقف المطر قبل أن يصل القطار.\n",
    "बारिश ट्रेन आने से पहले रुक गई थी।\n",
    "ฝนหยุดก่อน รถไฟมาถึง\n",
    "雨在火车到来之前就停了。\n",
    "雨は列車が来る前に　止んでいた。\n",
    "비는 기차가 오기 전에 그쳤다.\n",
    TEXT,
]
WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
ENCODINGS = [
    *("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-7", *WIDE),
    *("latin-1", "cp1250", "cp1251", "cp1252", "cp1253", "cp1255", "cp1256", "koi8-r", "cp874"),
    *("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "iso2022_jp", "iso2022_kr", "hz"),
    *("mac_roman", "cp437", "cp037"),
]
characters = st.characters(categories=["L", "M", "N", "P", "S", "Zs"]) | st.sampled_from("\t\n\r ")
texts = st.text(characters, min_size=1, max_size=200) | st.lists(
    st.sampled_from(SENTENCES), min_size=1, max_size=20
).map("".join)


@given(text=texts, encoding=st.sampled_from(ENCODINGS))
@example(text="\x1b[1mred\x1b[0m\a\b ✓\n" * 20, encoding="utf-8")
@example(text="name\x1fplace\x1e" * 20, encoding="utf-8")
@example(text="one\x00two\x00three\x00" * 20, encoding="utf-8")
@example(text="OggS and fLaC are formats of audio files.\n", encoding="latin-1")
@example(text="\N{LATIN CAPITAL LETTER A WITH MACRON}", encoding="utf-32-be")
@example(text="fLaC is the one without loss.\n", encoding="utf-8")
@examples(300)
def test_the_right_encoding_raises_no_alarm(text: str, encoding: str) -> None:
    """A text that is read in its own encoding raises no alarm."""
    data = text.encode(encoding, "ignore")
    if encoding in ("utf-8", "latin-1") or not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert mismatch(data, encoding.removesuffix("-sig")) is None


@pytest.mark.parametrize(
    "number", ["%PDF-1.4", "BZh9", "GIF89a", "MZ", "BM", "ID3", "OTTO", "PAR1"]
)
@pytest.mark.parametrize("rest", SENTENCES[:2], ids=["ru", "el"])
def test_a_text_that_begins_like_a_format(number: str, rest: str) -> None:
    """A text that begins like another format is a text."""
    assert kind_of(f"{number} is how such a file begins.\n{rest * 20}".encode()) is None


@given(sentences=st.lists(st.sampled_from(SENTENCES), min_size=15, max_size=40))
@pytest.mark.parametrize("encoding", WIDE)
@examples(25)
def test_wide_text_without_a_mark(encoding: str, sentences: list[str]) -> None:
    """Wide text without a mark is recognised in both byte orders."""
    kind = kind_of("".join(sentences).encode(encoding))
    assert kind is not None and kind.encoding == encoding


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("declared", ["utf-8", "latin-1", "gb18030", "utf-16"])
def test_wide_text_is_refused(encoding: str, declared: str, tmp_path: Path) -> None:
    """Wide text is refused with the setting that reads it."""
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(CorpusError) as caught:
        build_corpus(CorpusConfig(paths=(str(path),), encoding=declared))
    assert str(caught.value).endswith(f"--set corpus.encoding={encoding}")
    corpus = build_corpus(CorpusConfig(paths=(str(path),), encoding=encoding))
    assert sum(map(len, corpus.splits.values())) == len(TEXT)


@pytest.mark.parametrize("declared", ["utf-8", "latin-1", "cp1252"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_byte_order_mark_is_believed(encoding: str, declared: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(CorpusError, match=rf"--set corpus\.encoding={encoding}\)"):
        build_corpus(CorpusConfig(paths=(str(path),), encoding=declared))


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        about = tarfile.TarInfo("novel.txt")
        about.size = len(TEXT)
        archive.addfile(about, io.BytesIO(TEXT.encode()))
    return file.getvalue()


def _wave() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(256)) * 8)
    return file.getvalue()


def _database() -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table texts (text)")
        return bytes(connection.serialize())


STREAM = lzma.compress(TEXT.encode())  # stands for whatever a format has packed
FILES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "gzip": (lambda: gzip.compress(TEXT.encode()), "a gzip file", "rename it to end in .gz"),
    "bzip2": (lambda: bz2.compress(TEXT.encode()), "a bzip2 file", "bunzip2"),
    "xz": (lambda: lzma.compress(TEXT.encode()), "an xz file", "unxz"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + STREAM, "a Zstandard file", "unzstd"),
    "zip": (lambda: _zip("novel.txt"), "a zip archive", "unzip"),
    "docx": (lambda: _zip("[Content_Types].xml", "word/document.xml"), "a Word document", "pandoc"),
    "xlsx": (lambda: _zip("[Content_Types].xml", "xl/workbook.xml"), "an Excel document", "csv"),
    "tar": (_tar, "a tar archive", "tar -xf"),
    "pdf": (
        lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\nstream\n" + STREAM,
        "a PDF document",
        "pdftotext",
    ),
    "pdf in ASCII": (
        lambda: b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n" * 9000,
        "a PDF document",
        "pdftotext",
    ),
    "postscript": (
        lambda: b"%!PS-Adobe-3.0\n%%Pages: 1\n(The rain) show\n" * 99,
        "a PostScript document",
        "ps2ascii",
    ),
    "rtf": (
        lambda: rb"{\rtf1\ansi\deff0 {\fonttbl} The rain\par }" * 99,
        "an RTF document",
        "pandoc",
    ),
    "png": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + STREAM, "a picture", "leave it out"),
    "jpeg": (lambda: b"\xff\xd8\xff\xe0\0\x10JFIF" + STREAM, "a picture", "leave it out"),
    "wave": (_wave, "an audio file", "leave it out"),
    "sqlite": (_database, "a database", "leave it out"),
    "zeros": (lambda: b"\0" * 5000, "data with many zero bytes", "whole"),
    "data": (lambda: bytes(range(256)) * 8, "data", "corpus.unit=byte"),
}


@pytest.mark.parametrize("declared", ["utf-8", "cp437"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_format(name: str, declared: str, tmp_path: Path) -> None:
    """A file of another format is named with the remedy.

    In an encoding that gives each byte a character, too: there the decoder finds no fault.
    """
    make, what, remedy = FILES[name]
    path = tmp_path / "novel.txt"
    path.write_bytes(make())
    with pytest.raises(CorpusError) as caught:
        build_corpus(CorpusConfig(paths=(str(path),), encoding=declared))
    message = str(caught.value)
    assert message.startswith(f"{path}: {what}, not plain text; ")
    assert remedy in message and "cp1252" not in message


def test_bytes_may_be_those_of_any_file(tmp_path: Path) -> None:
    path = tmp_path / "novel"
    for make, _, _ in FILES.values():
        path.write_bytes(make())
        corpus = build_corpus(CorpusConfig(paths=(str(path),), unit="byte"))
        assert sum(map(len, corpus.splits.values())) == len(make())


def test_a_picture_in_a_folder(tmp_path: Path) -> None:
    """A picture in a folder is named and so is how to leave it out."""
    folder = tmp_path / "my [old] books"
    (folder / "more").mkdir(parents=True)
    (folder / "more" / "cover.txt.png").write_bytes(FILES["png"][0]())
    for place in ("a.txt", "b.txt", "more/c.txt", "more/d.md"):
        (folder / place).write_text(TEXT)
    with pytest.raises(CorpusError) as caught:
        build_corpus(CorpusConfig(paths=(str(folder),)))
    said, _, option = str(caught.value).partition("; read only the .txt files: ")
    assert said == f"{folder / 'more' / 'cover.txt.png'}: a picture, not plain text"
    name, pattern = shlex.split(option)
    assert name == "--text"
    corpus = build_corpus(CorpusConfig(paths=(pattern,)))
    assert sum(map(len, corpus.splits.values())) == 3 * len(TEXT)


def test_another_encoding_in_a_folder(tmp_path: Path) -> None:
    """A file in another encoding in a folder can be left out where an encoding is set."""
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.old").write_text(TEXT, encoding="cp1252")
    config = CorpusConfig(paths=(str(tmp_path),), encoding="utf-8")
    with pytest.raises(
        CorpusError, match=r"to auto.*; or read only the \.txt files: --text .*\*\.txt"
    ):
        build_corpus(config)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TEXT.encode(), "if it is text, remove .gz from its name"),
        (_zip("novel.txt"), "a zip archive, not a gzip file; unpack it first"),
        (
            gzip.compress(TEXT.encode())[:-20],
            "incomplete or damaged gzip file .* compress it again",
        ),
        (gzip.compress(_tar()), "a tar archive, not plain text"),
    ],
    ids=["text", "zip", "cut off", "tar"],
)
def test_a_gz_name_without_packed_text(data: bytes, expected: str, tmp_path: Path) -> None:
    """What ends in .gz and holds no packed text is named."""
    path = tmp_path / "novel.gz"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=expected):
        build_corpus(CorpusConfig(paths=(str(path),)))


@pytest.mark.parametrize("beginning", ["<!DOCTYPE html>", "\n <HTML lang='en'>", "\ufeff<html>"])
def test_html_is_read_with_a_warning(beginning: str, tmp_path: Path) -> None:
    """Somebody may mean to train on it; most people mean what a browser shows."""
    path = tmp_path / "page.html"
    path.write_text(f"{beginning}<p>{TEXT}")
    with pytest.warns(CorpusWarning, match=r"page\.html: HTML, read with its tags; .*pandoc"):
        build_corpus(CorpusConfig(paths=(str(path),)))


@pytest.mark.parametrize("escape", ["B", "@"])
def test_japanese_in_seven_bits_is_refused(escape: str, tmp_path: Path) -> None:
    """Japanese in seven bits is refused with the setting that reads it."""
    path = tmp_path / "text.txt"
    path.write_bytes(
        (SENTENCES[7] * 30).encode("iso2022_jp").replace(b"$B", b"$" + escape.encode())
    )
    with pytest.raises(CorpusError, match=r"--set corpus\.encoding=iso2022_jp\b"):
        build_corpus(CorpusConfig(paths=(str(path),), encoding="utf-8"))
    corpus = build_corpus(CorpusConfig(paths=(str(path),), encoding="iso2022_jp"))
    assert sum(map(len, corpus.splits.values())) == 30 * len(SENTENCES[7])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("added", [TEXT, SENTENCES[0] * 20, SENTENCES[1] * 20, SENTENCES[2] * 20])
@pytest.mark.parametrize("size", [400, 70_000, 600_000])
def test_utf_16_after_utf_8_is_refused(
    encoding: str, added: str, size: int, tmp_path: Path
) -> None:
    """UTF-16 after UTF-8 is refused by its place.

    PowerShell's >> appends UTF-16 to any file; it stays valid UTF-8 with zero bytes.
    """
    path = tmp_path / "text.txt"
    beginning = (TEXT * (size // 80)).encode()[: size // 80 * 80]
    path.write_bytes(beginning.replace(b"\xc3\xa9", b"ee") + added.encode(encoding))
    with pytest.raises(CorpusError, match=r"UTF-16 text from byte (\d+) on, within") as caught:
        build_corpus(CorpusConfig(paths=(str(path),)))
    place = int(str(caught.value).split(" from byte ")[1].split()[0])
    assert abs(place - len(beginning)) <= 40
