"""A file is read in the encoding that it evidently has; where none is evident, it is refused."""

import gzip
import io
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.languages import CASES, LEGACY, SENTENCES, text_in
from support.properties import examples

from charlm.config.load import load_config, override
from charlm.config.schema import Config, CorpusConfig
from charlm.corpus import text_files
from charlm.corpus.builder import build_corpus, encode_files
from charlm.corpus.corpus import SPLITS
from charlm.corpus.encodings import shown_encoding
from charlm.corpus.fingerprints import digest_of_text
from charlm.corpus.legacy_encodings import readings
from charlm.corpus.wide_text import is_utf_8
from charlm.errors import CorpusError, CorpusWarning

FRENCH = SENTENCES["French"] * 40
UNCLEAR = b"The rain had stopped. A caf\xe9.\n" + b"Nobody said a word.\n" * 20
quiet = pytest.mark.filterwarnings("ignore::charlm.errors.CorpusWarning")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def config_of(*paths: Path, **keys: Any) -> CorpusConfig:
    return CorpusConfig(paths=tuple(map(str, paths)), split=(1.0, 0.0, 0.0), **keys)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def text_of(config: CorpusConfig) -> str:
    corpus = build_corpus(config)
    return "".join(corpus.vocabulary.decode(corpus.splits[name].ids) for name in SPLITS)


@pytest.mark.parametrize(("encoding", "language"), CASES)
def test_an_older_encoding(encoding: str, language: str, tmp_path: Path) -> None:
    """A text in an older encoding gives its characters, and one line names the encoding."""
    text = text_in(encoding, language)
    path = written(tmp_path / "novel.txt", text.encode(encoding))
    with pytest.warns(CorpusWarning) as warned:
        assert text_of(config_of(path)) == text
    (message,) = [str(one.message) for one in warned]
    assert message.startswith(f"{path}: read as ")


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp1252", "Windows-1252"), ("koi8-r", "KOI8-R"), ("gb18030", "GB 18030")],
)
def test_the_usual_names_of_encodings(encoding: str, name: str) -> None:
    assert shown_encoding(encoding) == name


@pytest.mark.parametrize("language", ["English", "Russian", "Simplified"])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-8-sig"]
)
@quiet
def test_unicode_is_recognised_by_its_form(encoding: str, language: str, tmp_path: Path) -> None:
    """UTF-16 and UTF-32 need no setting, with a byte order mark or without one."""
    text = SENTENCES[language] * 20
    path = written(tmp_path / "novel.txt", text.encode(encoding))
    assert text_of(config_of(path)) == text


@pytest.mark.filterwarnings("error")
def test_utf_8_is_not_reported(tmp_path: Path) -> None:
    for language, sentence in SENTENCES.items():
        path = written(tmp_path / language, sentence.encode())
        assert text_of(config_of(path)) == sentence


@given(
    case=st.sampled_from(CASES),
    start=st.integers(0, 400),
    length=st.integers(1, 400),
    english=st.integers(0, 3),
)
@examples(200)
@quiet
def test_no_text_is_garbled(
    case: tuple[str, str], start: int, length: int, english: int, scratch: Path
) -> None:
    """Any piece of a text in an older encoding is read rightly or refused.

    A few Chinese characters may also be UTF-8, which is then right.
    """
    encoding, language = case
    text = text_in(encoding, language)[start : start + length]
    text = "Nobody said a word.\n" * english + text + "\nThe end.\n"
    path = written(scratch / "piece.txt", text.encode(encoding))
    assume(text.isascii() or not is_utf_8(path.read_bytes()))
    try:
        read = text_of(config_of(path))
    except CorpusError as error:
        assert "piece.txt: byte " in str(error)
        quoted = re.findall(r"if it has ('.*?'|\".*?\"), ", str(error))
        assert len({*quoted}) == len(quoted)
    else:
        assert read == text


@given(
    place=st.integers(0, len(FRENCH)), wrong=st.sampled_from([b"\xff", b"\xe9", b"\xc3", b"\x92"])
)
@example(place=len(FRENCH), wrong=b"\xe2\x80")
@examples(60)
def test_damaged_utf_8_is_not_an_older_encoding(place: int, wrong: bytes, scratch: Path) -> None:
    """One wrong byte does not make UTF-8 another encoding: the error has its place."""
    start = FRENCH[:place].encode()
    path = written(scratch / "novel.txt", start + wrong + FRENCH[place:].encode())
    with pytest.raises(CorpusError) as caught:
        build_corpus(config_of(path))
    message = str(caught.value)
    assert f"novel.txt: byte {len(start)} is not UTF-8 (0x{wrong[0]:02x}), unlike" in message
    assert f"iconv -c -f utf-8 -t utf-8 {path} > {scratch / 'novel-repaired.txt'}" in message


def test_two_encodings_in_a_file(tmp_path: Path) -> None:
    """A file in UTF-8 to which another encoding was appended is refused."""
    for number, parts in enumerate([("utf-8", "cp1252"), ("cp1252", "utf-8")]):
        data = b"".join(FRENCH.encode(encoding, "ignore") for encoding in parts)
        with pytest.raises(CorpusError, match="the encoding is not evident; convert it to UTF-8"):
            build_corpus(config_of(written(tmp_path / str(number), data)))


@pytest.mark.parametrize("size", [3_000, 600_000, 2_500_000])
@quiet
def test_the_first_accent_may_be_late(size: int, tmp_path: Path) -> None:
    """A text is looked at where it leaves ASCII, wherever that is, gzipped or not."""
    text = "Nobody said a word.\n" * (size // 20) + SENTENCES["German"] * 20
    assert text_of(config_of(written(tmp_path / "a.txt", text.encode("cp1252")))) == text
    packed = gzip.compress(text.encode("cp1252"), 1)
    assert text_of(config_of(written(tmp_path / "b.txt.gz", packed))) == text


@quiet
def test_the_files_of_a_folder_have_their_own(tmp_path: Path) -> None:
    """Each file of a folder is read in its own encoding, and is recorded by its path."""
    texts = {"a.txt": ("utf-8", FRENCH), "c.txt": ("utf-16", FRENCH)}
    texts["b.txt"] = ("cp1251", SENTENCES["Russian"] * 3)
    for name, (encoding, text) in texts.items():
        written(tmp_path / name, text.encode(encoding))
    config = config_of(tmp_path)
    assert text_of(config) == "".join(texts[name][1] for name in sorted(texts))
    recorded = {str(tmp_path / "b.txt"): "cp1251", str(tmp_path / "c.txt"): "utf-16"}
    assert build_corpus(config).encodings == recorded


@quiet
def test_a_refusal_has_the_setting_to_paste(tmp_path: Path) -> None:
    """The options that a refusal names read the file, one file or one of several."""
    path = written(tmp_path / "my novel.txt", UNCLEAR)
    with pytest.raises(CorpusError, match=r"novel\.txt: byte 27 is not UTF-8 \(0xe9\)") as caught:
        build_corpus(config_of(path))
    words = shlex.split(str(caught.value).split("if it has 'café.', give ")[1].split(";")[0])
    assert words == ["--text", str(path), "--set", "corpus.encoding=cp1252"]
    config = load_config("quickstart", [words[3]], [words[1]]).corpus
    assert "café" in text_of(config.replace(split=(1.0, 0.0, 0.0)))
    written(tmp_path / "other.txt", FRENCH.encode())
    several = config_of(tmp_path)
    with pytest.raises(CorpusError) as caught:
        build_corpus(several)
    option = str(caught.value).split("if it has 'café.', give ")[1].split("; if")[0]
    _, setting = shlex.split(option)
    config = override(Config(corpus=several), [setting]).corpus
    assert text_of(config) == UNCLEAR.decode("cp1252") + FRENCH


def test_readings_are_told_apart(tmp_path: Path) -> None:
    """A refusal quotes the word where two encodings differ, and each encoding that reads it so."""
    path = written(tmp_path / "novel.txt", UNCLEAR + b"How na\xefve! The caf\xe9.\n")
    with pytest.raises(CorpusError) as caught:
        build_corpus(config_of(path))
    quoted = re.findall(r"if it has '(.*?)', .*?corpus\.encoding=([\w-]+)", str(caught.value))
    assert [word for word, _ in quoted] == ["na\u00efve!", "na\u010fve!"]
    for word, encoding in quoted:
        assert word in path.read_bytes().decode(encoding)


def test_a_text_to_score_has_no_setting(tmp_path: Path) -> None:
    """`eval` has no --set: the refusal of its text has a command that converts it."""
    path = written(tmp_path / "novel.txt", UNCLEAR)
    vocabulary = build_corpus(config_of(written(tmp_path / "a.txt", FRENCH.encode()))).vocabulary
    with pytest.raises(CorpusError, match=rf"`iconv -f cp1252 -t utf-8 {path}`"):
        encode_files([str(path)], CorpusConfig(), vocabulary)
    with pytest.raises(CorpusError, match="`iconv -f cp1252"):
        digest_of_text([str(path)], CorpusConfig())


@quiet
def test_standard_input_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is recognised as a file is, and not recorded."""
    standard_input = io.TextIOWrapper(io.BytesIO((SENTENCES["German"] * 9).encode("cp1252")))
    monkeypatch.setattr(sys, "stdin", standard_input)
    config = CorpusConfig(paths=("-",), split=(1.0, 0.0, 0.0))
    with pytest.warns(CorpusWarning, match=r"^standard input: read as Windows-1252$"):
        corpus = build_corpus(config)
    assert corpus.vocabulary.decode(corpus.splits["train"].ids) == SENTENCES["German"] * 9
    assert corpus.encodings == {}


@quiet
def test_a_named_encoding_gives_the_same_text(tmp_path: Path) -> None:
    """Recognised or named, a text has one fingerprint; a named encoding is obeyed."""
    path = written(tmp_path / "novel.txt", (SENTENCES["Russian"] * 9).encode("koi8-r"))
    recognised = build_corpus(config_of(path))
    assert build_corpus(config_of(path, encoding="koi8-r")).fingerprint == recognised.fingerprint
    single = {str(path): "koi8-r"}
    assert build_corpus(config_of(path, encodings=single)).fingerprint == recognised.fingerprint
    assert text_of(config_of(path, encoding="cp1251")) != SENTENCES["Russian"] * 9


@quiet
def test_a_recorded_encoding_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded encoding decides, even if the file grows; but UTF-8 may replace it."""
    text = SENTENCES["Czech"] * 9
    path = written(tmp_path / "novel.txt", text.encode("cp1250"))
    config = config_of(path, encodings=dict(build_corpus(config_of(path)).encodings))
    assert config.encodings == {str(path): "cp1250"}
    monkeypatch.setattr(text_files, "recognised_encoding", lambda *_: "iso8859-2")
    grown = text + "Žádný.\n"
    written(path, grown.encode("cp1250"))
    assert text_of(config) == grown
    monkeypatch.undo()
    written(path, grown.encode())
    assert text_of(config) == grown


@quiet
def test_an_encoding_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has not changed is not examined again."""
    monkeypatch.setattr("charlm.corpus.file_digests._REST_NS", -(10**9))
    path = written(tmp_path / "novel.txt", (SENTENCES["Greek"] * 9).encode("cp1253"))
    first = build_corpus(config_of(path))
    monkeypatch.setattr(text_files, "recognised_encoding", lambda *_: pytest.fail("examined"))
    assert build_corpus(config_of(path)).fingerprint == first.fingerprint


def test_every_candidate_is_a_config_encoding() -> None:
    """A recognised name is valid in a config without a change of spelling."""
    for encoding in LEGACY:
        data = SENTENCES[LEGACY[encoding][0]].encode(encoding, "ignore")
        for reading in readings(data):
            assert CorpusConfig(encoding=reading.encoding).encoding == reading.encoding
