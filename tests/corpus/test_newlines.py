"""Line ends of Windows and old Macs are newlines, unless a config keeps them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.config.load import make_config, override
from charlm.config.schema import Config, CorpusConfig
from charlm.corpus.builder import build_corpus, encode_files
from charlm.corpus.corpus import SPLITS
from charlm.corpus.decoding import as_read
from charlm.corpus.newlines import LineEnds, converted
from charlm.errors import CorpusWarning

LINES = "The rain had stopped.\nNobody said a word.\n" * 10
WINDOWS, OLD_MAC = LINES.replace("\n", "\r\n"), LINES.replace("\n", "\r")
BOTH = LINES + WINDOWS + OLD_MAC

pytestmark = pytest.mark.filterwarnings("ignore::charlm.errors.CorpusWarning")


def config_of(path: Path, **keys: Any) -> CorpusConfig:
    return CorpusConfig(paths=(str(path),), split=(1.0, 0.0, 0.0), **keys)


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def text_of(config: CorpusConfig) -> str:
    corpus = build_corpus(config)
    return "".join(corpus.vocabulary.decode(corpus.splits[name].ids) for name in SPLITS)


@given(pieces=st.lists(st.text(st.sampled_from("a\r\n\r\n"), max_size=5)))
@example(pieces=["a\r", "\nb"])
@example(pieces=["\r", "", "\n", "\r"])
def test_line_ends_in_pieces(pieces: list[str]) -> None:
    """However a text is divided, each line end is converted and counted once."""
    whole, line_ends = "".join(pieces), LineEnds()
    text = "".join(converted(iter(pieces), "unify", line_ends))
    assert text == re.sub("\r\n?", "\n", whole)
    assert line_ends.windows == whole.count("\r\n")
    assert line_ends.returns == whole.count("\r")
    assert as_read(whole, CorpusConfig()) == text


@pytest.mark.parametrize("block", [1, 2, 1 << 19])
@pytest.mark.parametrize("text", [LINES, WINDOWS, OLD_MAC, BOTH])
def test_files_of_all_systems_read_alike(
    text: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is the same, whichever system wrote its line ends; the splits of it too."""
    monkeypatch.setattr("charlm.corpus.blocks._BLOCK_BYTES", block)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    path = written(tmp_path / "novel.txt", text)
    expected = LINES * (text.count("rain") // 10)
    assert text_of(config_of(path)) == expected
    places = {"validation_paths": (str(path),), "test_paths": (str(path),)}
    assert text_of(config_of(path, **places)) == expected * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WINDOWS * 100, "2,000 Windows line ends"),
        (OLD_MAC, "20 old Mac line ends"),
        (BOTH, "20 Windows line ends and 20 old Mac line ends"),
        (LINES + "The end.\r\n", "1 Windows line end"),
    ],
    ids=["Windows", "old Mac", "both", "one"],
)
def test_converted_line_ends_are_reported(text: str, said: str, tmp_path: Path) -> None:
    """One line names the file and the number of line ends."""
    path = written(tmp_path / "novel.txt", text)
    with pytest.warns(CorpusWarning) as warned:
        build_corpus(config_of(path))
    assert [str(one.message) for one in warned] == [f"{path}: {said} read as newlines"]


def test_line_ends_are_reported_each_time(tmp_path: Path) -> None:
    """A corpus from the cache is reported as a new one is, under the name of its file today."""
    path = written(tmp_path / "novel.txt", BOTH)
    for name in ("novel.txt", "novel.txt", "moved.txt"):
        path = path.rename(tmp_path / name)
        with pytest.warns(CorpusWarning) as warned:
            build_corpus(config_of(path))
        said = f"{path}: 20 Windows line ends and 20 old Mac line ends read as newlines"
        assert [str(one.message) for one in warned] == [said]


def test_the_line_ends_of_many_files(tmp_path: Path) -> None:
    """Many files have one line together; of a text that is cut off, it gives no number."""
    for name in "abcde":
        written(tmp_path / f"{name}.txt", LINES if name == "b" else WINDOWS)
    first = ", ".join(str(tmp_path / f"{name}.txt") for name in "acd")
    with pytest.warns(CorpusWarning) as warned:
        build_corpus(config_of(tmp_path))
    said = f"{first} and 1 more: 80 Windows line ends read as newlines"
    assert [str(one.message) for one in warned] == [said]
    with pytest.warns(CorpusWarning, match=r"a\.txt: Windows line ends read as newlines"):
        build_corpus(config_of(tmp_path, max_characters=100))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("keys", [{"newlines": "keep"}, {"unit": "byte"}], ids=["keep", "bytes"])
def test_kept_line_ends(keys: dict[str, Any], tmp_path: Path) -> None:
    """`keep`, and bytes by default, have every byte, without a message."""
    path = written(tmp_path / "novel.txt", BOTH)
    assert text_of(config_of(path, **keys)) == BOTH
    assert as_read(BOTH, CorpusConfig(**keys)) == BOTH


@pytest.mark.filterwarnings("error")
def test_plain_newlines_are_not_reported(tmp_path: Path) -> None:
    assert text_of(config_of(written(tmp_path / "novel.txt", LINES))) == LINES


def test_a_scored_text_with_windows_line_ends(tmp_path: Path) -> None:
    """A model reads a text of Windows as that of another system: same ids, same bytes."""
    corpus = build_corpus(config_of(written(tmp_path / "novel.txt", LINES)))
    paths = [str(written(tmp_path / name, text)) for name, text in (("a", LINES), ("b", WINDOWS))]
    one, other = (encode_files([path], CorpusConfig(), corpus.vocabulary) for path in paths)
    assert np.array_equal(one.ids, other.ids)
    assert other.num_unknown == 0
    assert other.measure(0, len(other)) == one.measure(0, len(one)) == (len(LINES), 0)


def test_the_first_name_of_unify() -> None:
    """Configs and checkpoints of earlier versions say `normalise`."""
    config = make_config({"corpus": {"newlines": "normalise"}}, "a test")
    assert config.corpus.newlines == "unify"


def test_bytes_set_on_a_default_config() -> None:
    """`unit: byte` needs no other setting; its line ends cannot be converted."""
    assert override(Config(), ["corpus.unit=byte"]).corpus.line_ends == "keep"
    assert Config().corpus.line_ends == "unify"


@pytest.mark.parametrize(
    ("keys", "fingerprint"),
    [
        ({"newlines": "keep"}, "74f743f9b8b1d7ddec32daf32658e5c6"),
        ({"newlines": "unify"}, "83d6adcb44e4c15a47a7bcb4c0f46943"),
        ({"newlines": "auto"}, "83d6adcb44e4c15a47a7bcb4c0f46943"),
        ({"newlines": "space"}, "44427a95041f1677abcbc0c51308bf38"),
        ({"newlines": "unify", "encoding": "cp1252"}, "0d3842a300d90ce029bb9e6a3a56cdbf"),
        ({"unit": "byte"}, "848e53d68f8f168db512f52c80b4e9bc"),
    ],
)
def test_fingerprints_of_earlier_versions(
    keys: dict[str, Any], fingerprint: str, tmp_path: Path
) -> None:
    """A run that an earlier version trained finds its text, read with its settings."""
    path = written(tmp_path / "g.txt", "a line\r\nanother\rone\n" * 20)
    corpus = build_corpus(CorpusConfig(paths=(str(path),), **keys))
    assert corpus.fingerprint == fingerprint
