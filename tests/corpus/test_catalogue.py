"""Laws of texts by name: the built-in ones, the catalogue, and what a transfer may leave behind."""

import hashlib
import io
import re
import socket
import struct
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import pytest

from charlm.cli.clearing import clear_cache
from charlm.config.schema import CorpusConfig
from charlm.corpus import catalogue, downloads
from charlm.corpus.builder import build_corpus
from charlm.corpus.builtin_texts import BUILTIN
from charlm.corpus.catalogue import DownloadableText
from charlm.corpus.corpus import SPLITS
from charlm.errors import CorpusError
from charlm.files import cache_record

TEXT = "Es war einmal, und es war keinmal. 从前有一座山。\n".encode() * 100
GOOD_COPY = b"an earlier, good copy"


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "not this one")
        archive.writestr(name, data)
    return packed.getvalue()


ARCHIVE = zipped("folder/tale", TEXT)


def answer(
    body: bytes = b"", length: int | None = None, status: str = "200 OK", header: str = ""
) -> bytes:
    """Write an answer of a server: whole, or with a length that is not that of the body."""
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{header}\r\n"
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "/tale.txt": answer(TEXT),
    "/moved": answer(status="302 Found", header="Location: /tale.txt\r\n"),
    "/in-chunks": IN_CHUNKS + chunk(TEXT[:1000]) + chunk(TEXT[1000:]) + chunk(b""),
}
BROKEN = {
    "/changed-byte": answer(TEXT.replace(b"E", b"F", 1)),
    "/longer": answer(TEXT + b"!"),
    "/empty": answer(),
    "/cut-short": answer(TEXT[:1000], length=len(TEXT)),
    "/cut-without-length": b"HTTP/1.1 200 OK\r\n\r\n" + TEXT[:1000],
    "/cut-in-a-chunk": IN_CHUNKS + chunk(TEXT[:1000]) + b"1000\r\nbut no such",
    "/cut-in-the-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/reset": answer(TEXT[:1000], length=len(TEXT)),
    "/hangs-up": b"",
    "/no-http": b"220 this is some other server\r\n",
    "/busy": answer(b"later, please", status="503 Service Unavailable"),
    "/nowhere": answer(b"no such page", status="404 Not Found"),
    "/round-and-round": answer(status="302 Found", header="Location: /round-and-round\r\n"),
    "/to-a-strange-place": answer(status="302 Found", header="Location: gopher://a/b\r\n"),
}
ANSWERS = {"/tale.zip": answer(ARCHIVE), **GOOD, **BROKEN}


class Handler(BaseHTTPRequestHandler):
    """Serves the text, and everything that can go wrong on the way, one answer a connection."""

    def do_GET(self) -> None:
        if self.path == "/drip":
            self.drip()
            return
        self.wfile.write(ANSWERS[self.path])
        if self.path == "/reset":
            on_without_delay = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on_without_delay)

    def drip(self) -> None:
        """Send a byte every 20 ms, until nobody wants any."""
        self.wfile.write(answer(length=len(TEXT)))
        with suppress(ConnectionError):
            for byte in TEXT:
                self.wfile.write(bytes([byte]))
                sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server on this machine; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = False
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloads, in a cache of the test's own; no proxy on the way."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "own-cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "own-cache" / "texts"


def enter(
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    data: bytes = TEXT,
    member: str | None = None,
) -> DownloadableText:
    """Make a catalogue of one entry, the text `tale`."""
    entry = DownloadableText(
        title="A tale",
        address=address,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        licence="public domain",
        member=member,
        member_size=None if member is None else len(TEXT),
    )
    monkeypatch.setattr(catalogue, "catalogue", lambda: {"tale": entry})
    return entry


def put_by_charlm(data: bytes) -> None:
    """Let a download of an earlier time be in the cache."""
    target = catalogue.download_path("tale")
    cache_record.make_folder(target.parent)
    cache_record.claim(target)
    target.write_bytes(data)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# The built-in texts


@pytest.mark.parametrize("name", list(BUILTIN))
def test_every_built_in_text_is_here(name: str) -> None:
    """Every built-in text is here and is text of some length."""
    length = sum(len(path.read_bytes().decode("utf-8")) for path in catalogue.files_of(name))
    assert length >= 10_000


@pytest.mark.parametrize("name", ["python-docs", "lyrics-zh"])
def test_a_built_in_text_makes_a_corpus(name: str) -> None:
    corpus = build_corpus(CorpusConfig(builtin=name))
    expected = b"".join(path.read_bytes() for path in catalogue.files_of(name)).decode()
    assert sum(len(corpus.splits[part]) for part in SPLITS) == len(expected)


def test_the_lyrics_are_chinese() -> None:
    """The lyrics are Chinese and not filled from a template."""
    (path,) = catalogue.files_of("lyrics-zh")
    text = path.read_text("utf-8")
    songs = [set(song.splitlines()) for song in text.split("\n\n")]
    lines = [line for song in songs for line in song if len(line) > 4]
    assert sum("\u4e00" <= character <= "\u9fff" for character in text) >= 10_000
    assert len(songs) >= 30
    assert len(set(lines)) == len(lines), "no line stands in two songs"


def test_the_python_documents_are_written_once(folder: Path) -> None:
    (path,) = catalogue.files_of("python-docs")
    written = path.stat()
    assert catalogue.files_of("python-docs") == [path]
    again = path.stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert names_in(folder) == [path.name]


def emptied(data: bytes) -> bytes:
    return bytes(len(data))  # as a power cut may leave it


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [cut, emptied])
def test_damaged_documents_are_written_again(
    damage: Callable[[bytes], bytes], folder: Path
) -> None:
    """Damaged Python documents are written again."""
    (path,) = catalogue.files_of("python-docs")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert catalogue.files_of("python-docs") == [path]
    assert path.read_bytes() == whole
    assert names_in(folder) == [path.name]


@pytest.mark.parametrize(("damage", "is_zip"), [(cut, False), (cut, True), (emptied, False)])
def test_a_damaged_download_is_refused(
    damage: Callable[[bytes], bytes],
    is_zip: bool,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A damaged download is refused with the command that gets it."""
    data = ARCHIVE if is_zip else TEXT
    enter(monkeypatch, closed_address(), data, member="folder/tale" if is_zip else None)
    (tmp_path / "source").write_bytes(data)
    path = catalogue.get("tale", tmp_path / "source")
    assert catalogue.files_of("tale") == [path]
    path.write_bytes(damage(TEXT))
    with pytest.raises(CorpusError, match=r"tale\.txt: .*charlm data get tale"):
        catalogue.files_of("tale")
    catalogue.get("tale", tmp_path / "source")
    assert catalogue.files_of("tale") == [path]


def test_a_download_is_on_the_disk_first(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download is on the disk before it takes its place."""
    enter(monkeypatch, closed_address())
    (tmp_path / "source").write_bytes(TEXT)
    moments: list[str] = []
    monkeypatch.setattr(catalogue, "sync", lambda path: moments.append(path.read_text("utf-8")))
    monkeypatch.setattr(catalogue, "sync_folder", lambda path: moments.append(path.name))
    catalogue.get("tale", tmp_path / "source")
    assert moments == [TEXT.decode(), folder.name]


def test_an_archive_is_unpacked_to_its_size(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive is unpacked no further than its size."""
    bomb = zipped("folder/tale", bytes(50_000_000))
    enter(monkeypatch, closed_address(), bomb, member="folder/tale")
    (tmp_path / "bomb").write_bytes(bomb)
    copied: list[int] = []
    copy = downloads._copy

    def noted(source: Any, file: Any, size: int, *others: Any) -> None:
        copy(source, file, size, *others)
        copied.append(file.tell())

    monkeypatch.setattr(downloads, "_copy", noted)
    with pytest.raises(CorpusError, match=f"it does not have {len(TEXT):,} bytes"):
        catalogue.get("tale", tmp_path / "bomb")
    assert copied == [len(bomb), len(TEXT) + 1]
    assert names_in(folder) == []


@pytest.mark.parametrize(
    "packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_a_wrongly_packed_archive(
    packing: int, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that was packed wrongly is an error."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        archive.writestr("folder/tale", TEXT)
    whole = packed.getvalue()
    for place in range(40, 140):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        enter(monkeypatch, closed_address(), damaged, member="folder/tale")
        (tmp_path / "damaged").write_bytes(damaged)
        try:  # not every byte of an archive matters
            path = catalogue.get("tale", tmp_path / "damaged")
        except CorpusError as error:
            assert "cannot be unpacked" in str(error)
            assert names_in(folder) == []
        else:
            assert path.read_bytes() == TEXT
            path.unlink()


CATALOGUES = {
    "an alias": "a: &a {title: t}\nb: *a",
    "an alias in a title": "a: {title: &a [x, x], address: [*a, *a]}",
    "a number as a name": "5: {title: t, address: a, size: 1, sha256: s, licence: l}",
    "a truth as a name": "true: {title: t, address: a, size: 1, sha256: s, licence: l}",
    "a path as a name": "../x: {title: t, address: a, size: 1, sha256: s, licence: l}",
    "a member, no size": "a: {title: t, address: a, size: 1, sha256: s, licence: l, member: m}",
    "a long key": f"a: {{{'k' * 100_000}: 1}}",
    "many wrong keys": f"a: {{{', '.join(f'k{n}: 1' for n in range(5_000))}}}",
    "a list": "[]",
    "nothing": "",
    "depth": "[" * 100_000,
    "two megabytes": "#" * 2_000_000,
}


@pytest.mark.parametrize("written", CATALOGUES.values(), ids=CATALOGUES.keys())
def test_a_wrong_catalogue_is_refused(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue that is none is refused in a line."""
    (tmp_path / "corpora.yaml").write_text(written)
    monkeypatch.setattr(catalogue, "shipped", lambda kind: tmp_path)
    with pytest.raises(CorpusError, match=r"corpora\.yaml") as caught:
        catalogue.files_of("nowhere")
    assert len(str(caught.value)) < 1000


def test_installed_packages_are_left_out() -> None:
    """The standard library leaves out what was installed besides."""
    files = catalogue.files_of("python-stdlib")
    assert files == sorted(set(files))
    names = {path.name for path in files}
    assert {"argparse.py", "textwrap.py"} <= names
    assert not any("site-packages" in path.parts for path in files)
    assert "conftest.py" not in names


# The catalogue


@pytest.mark.parametrize(("name", "entry"), catalogue.catalogue().items())
def test_every_entry_is_well_formed(name: str, entry: DownloadableText) -> None:
    """Every entry of the catalogue is well formed."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert name not in BUILTIN
    assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    address = urlsplit(entry.address)
    assert address.scheme in {"http", "https"}
    assert address.hostname
    assert entry.size > 0
    assert entry.title.strip()
    assert entry.licence.strip()
    assert (entry.member is not None) == address.path.endswith(".zip")


def test_tiny_shakespeare_is_the_known_one() -> None:
    """Tiny Shakespeare is the one that others quote."""
    assert catalogue.catalogue()["tiny-shakespeare"].size == 1_115_394


def test_a_missing_download(folder: Path) -> None:
    """A text that is not downloaded says which command gets it."""
    with pytest.raises(CorpusError, match=r"tiny-shakespeare.*charlm data get tiny-shakespeare"):
        build_corpus(CorpusConfig(builtin="tiny-shakespeare"))


@pytest.mark.parametrize("name", ["no-such-text", "../../passwd", ""])
def test_an_unknown_name_lists_the_known_ones(name: str, folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"python-docs.*lyrics-zh.*tiny-shakespeare"):
        build_corpus(CorpusConfig(builtin=name))
    with pytest.raises(CorpusError, match=r"known texts are .*tiny-shakespeare"):
        catalogue.get(name)


def test_a_name_that_is_not_known_is_no_path(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"unknown text; did you mean lyrics-zh\?"):
        build_corpus(CorpusConfig(builtin="../lyrics-zh"))


# Transfers that succeed


@pytest.mark.parametrize("path", GOOD)
def test_a_download_is_kept(
    path: str, server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download is kept and can be named in a config."""
    enter(monkeypatch, server + path)
    sizes: list[int] = []
    kept = catalogue.get("tale", on_bytes=sizes.append)
    assert kept.read_bytes() == TEXT
    assert sum(sizes) == len(TEXT)
    assert kept == catalogue.download_path("tale")
    assert names_in(folder) == [kept.name]
    corpus = build_corpus(CorpusConfig(builtin="tale"))
    assert sum(len(part) for part in corpus.splits.values()) == len(TEXT.decode())


def test_pieces_are_reported_as_they_arrive(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_BLOCK_BYTES", 100)
    enter(monkeypatch, server + "/tale.txt")
    sizes: list[int] = []
    catalogue.get("tale", on_bytes=sizes.append)
    assert len(sizes) == -(-len(TEXT) // 100)
    assert sum(sizes) == len(TEXT)


def test_the_member_of_a_zip_archive_is_taken_out(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, server + "/tale.zip", ARCHIVE, member="folder/tale")
    sizes: list[int] = []
    kept = catalogue.get("tale", on_bytes=sizes.append)
    assert kept.read_bytes() == TEXT
    assert sum(sizes) == len(ARCHIVE)
    assert names_in(folder) == [kept.name]


def test_a_new_copy_takes_the_place_of_the_old(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, server + "/tale.txt")
    put_by_charlm(GOOD_COPY)
    assert catalogue.get("tale").read_bytes() == TEXT


@pytest.mark.parametrize("is_zip", [False, True], ids=["plain", "zip"])
@pytest.mark.parametrize("from_folder", [False, True], ids=["from a file", "from a folder"])
def test_a_text_from_a_file_or_folder(
    from_folder: bool,
    is_zip: bool,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A text can be taken from a file or folder under any name."""
    data = ARCHIVE if is_zip else TEXT
    enter(monkeypatch, closed_address(), data, member="folder/tale" if is_zip else None)
    shelf = tmp_path / "shelf"
    (shelf / "a-folder").mkdir(parents=True)
    (shelf / "another").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # the same size
    (shelf / "of any name").write_bytes(data)
    sizes: list[int] = []
    kept = catalogue.get("tale", shelf if from_folder else shelf / "of any name", sizes.append)
    assert kept.read_bytes() == TEXT
    assert sum(sizes) == len(data)
    assert (shelf / "of any name").read_bytes() == data
    assert names_in(folder) == [kept.name]


# Transfers that fail


def closed_address() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"http://127.0.0.1:{port}/tale.txt"


def assert_nothing_kept(folder: Path, has_copy: bool) -> None:
    target = catalogue.download_path("tale")
    assert names_in(folder) == ([target.name] if has_copy else [])
    if has_copy:
        assert target.read_bytes() == GOOD_COPY


@pytest.fixture(params=[False, True], ids=["no copy", "a good copy"])
def has_copy(request: pytest.FixtureRequest, folder: Path) -> bool:
    """Whether an earlier, good copy is there, which a failure must leave alone."""
    if request.param:
        put_by_charlm(GOOD_COPY)
    return bool(request.param)


@pytest.mark.parametrize("path", BROKEN)
def test_a_failed_transfer_keeps_nothing(
    path: str, has_copy: bool, server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transfer that fails names the address and keeps nothing."""
    enter(monkeypatch, server + path)
    with pytest.raises(CorpusError, match=re.escape(server + path)) as caught:
        catalogue.get("tale")
    assert "\n" not in str(caught.value)
    assert_nothing_kept(folder, has_copy)


@pytest.mark.parametrize("path", BROKEN)
def test_a_failed_transfer_is_closed(
    path: str, server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transfer that fails closes its connection."""
    responses: list[HTTPResponse] = []

    class Recorded(HTTPResponse):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            responses.append(self)

    monkeypatch.setattr(HTTPConnection, "response_class", Recorded)
    enter(monkeypatch, server + path)
    with pytest.raises(CorpusError) as caught:
        catalogue.get("tale")
    still_open = [response for response in responses if not response.isclosed()]
    for response in still_open:
        response.close()
    assert responses
    assert not still_open, f"{still_open} open while {caught.value!r} is handled"


def test_a_transfer_that_drips_is_given_up(
    has_copy: bool, server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, server + "/drip")
    monkeypatch.setattr(downloads, "_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(downloads, "_MIN_BYTES_PER_SECOND", len(TEXT))
    arrived: list[int] = []
    with pytest.raises(CorpusError, match=f"less than {len(TEXT):,} bytes per second"):
        catalogue.get("tale", on_bytes=arrived.append)
    assert 1 < len(arrived) <= sum(arrived) < len(TEXT)  # it was not waited for as a whole
    assert_nothing_kept(folder, has_copy)


def test_an_address_that_nobody_answers(
    has_copy: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that nobody answers is an error with a remedy."""
    entry = enter(monkeypatch, closed_address())
    with pytest.raises(CorpusError, match=re.escape(entry.address) + ".*--from"):
        catalogue.get("tale")
    assert_nothing_kept(folder, has_copy)


def test_a_wrong_checksum_shows_both(
    has_copy: bool, server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = enter(monkeypatch, server + "/changed-byte")
    arrived = hashlib.sha256(TEXT.replace(b"E", b"F", 1)).hexdigest()
    with pytest.raises(CorpusError, match=f"{arrived[:12]}.*{entry.sha256[:12]}"):
        catalogue.get("tale")
    assert_nothing_kept(folder, has_copy)


def test_a_damaged_zip_archive_is_an_error(
    has_copy: bool, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, closed_address(), ARCHIVE, member="folder/tale")
    damaged = tmp_path / "tale.zip"
    damaged.write_bytes(ARCHIVE[:50] + bytes([ARCHIVE[50] ^ 1]) + ARCHIVE[51:])
    with pytest.raises(CorpusError, match="SHA-256"):
        catalogue.get("tale", damaged)
    assert_nothing_kept(folder, has_copy)


def test_ctrl_c_in_the_middle_keeps_nothing(
    has_copy: bool, server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(size: int) -> None:
        raise KeyboardInterrupt

    enter(monkeypatch, server + "/tale.txt")
    with pytest.raises(KeyboardInterrupt):
        catalogue.get("tale", on_bytes=interrupt)
    assert_nothing_kept(folder, has_copy)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("missing", "could not be read"),
        ("wrong", "SHA-256"),
        ("short", "bytes"),
        ("shelf", "no file here"),
        ("empty-shelf", "no file here"),
    ],
)
def test_a_wrong_source_is_named(
    source: str,
    problem: str,
    has_copy: bool,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong source is named and nothing is kept."""
    enter(monkeypatch, closed_address())
    wrong = TEXT.replace(b"E", b"F", 1)
    (tmp_path / "wrong").write_bytes(wrong)
    (tmp_path / "short").write_bytes(TEXT[:-1])
    (tmp_path / "empty-shelf").mkdir()
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "wrong").write_bytes(wrong)
    with pytest.raises(CorpusError, match=f"{re.escape(str(tmp_path / source))}.*{problem}"):
        catalogue.get("tale", tmp_path / source)
    assert_nothing_kept(folder, has_copy)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")
def test_a_wrong_source_is_read_briefly(
    has_copy: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more is read than tells that a source is wrong.

    It may be endless.
    """
    enter(monkeypatch, closed_address())
    monkeypatch.setattr(downloads, "_BLOCK_BYTES", 100)
    read: list[int] = []

    def on_bytes(size: int) -> None:
        read.append(size)
        assert sum(read) <= len(TEXT) + 1

    with pytest.raises(CorpusError, match=f"{len(TEXT) + 1:,} bytes or more .* {len(TEXT):,}"):
        catalogue.get("tale", Path("/dev/zero"), on_bytes)
    assert_nothing_kept(folder, has_copy)


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that cannot be written is an error with a remedy."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "file" / "cache"))
    enter(monkeypatch, server + "/tale.txt")
    with pytest.raises(CorpusError, match="CHARLM_CACHE"):
        catalogue.get("tale")


# Clearing


def test_clearing_frees_what_it_says(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert clear_cache() == 0
    enter(monkeypatch, server + "/tale.txt")
    kept = catalogue.get("tale")
    assert clear_cache() == len(TEXT)
    assert not kept.exists()
    with pytest.raises(CorpusError, match="charlm data get tale"):
        catalogue.files_of("tale")


def test_a_failed_download_claims_no_file(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clearing keeps a file that the user puts where a download would have been."""
    enter(monkeypatch, server + "/changed-byte")
    with pytest.raises(CorpusError):
        catalogue.get("tale")
    place = catalogue.download_path("tale")
    place.write_bytes(TEXT)
    assert clear_cache() == 0
    assert place.read_bytes() == TEXT
