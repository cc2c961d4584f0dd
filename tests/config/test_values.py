"""Laws of values: what YAML means here, and what has the wrong type."""

import codecs
from encodings.aliases import aliases
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.configs import load_text, value_of

from charlm.config.load import override
from charlm.config.schema import Config, CorpusConfig, TrainingConfig
from charlm.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "name", "expected"),
    [
        ("1e-3", "training.learning_rate", 0.001),
        ("1E-3", "training.learning_rate", 0.001),
        ("2.e1", "training.learning_rate", 20.0),
        (".5", "training.learning_rate", 0.5),
        ("+1", "training.learning_rate", 1.0),
        ("100", "training.learning_rate", 100.0),
        ("no", "generation.prefix", "no"),
        ("off", "generation.prefix", "off"),
        ("Yes", "generation.prefix", "Yes"),
        ("on", "generation.prefix", "on"),
        ("y", "generation.prefix", "y"),
        ("1:30", "generation.prefix", "1:30"),
        ("1_000", "generation.prefix", "1_000"),
        ("2001-12-14", "generation.prefix", "2001-12-14"),
        ("=", "generation.prefix", "="),
        ("<<", "generation.prefix", "<<"),
        ("'true'", "generation.prefix", "true"),
        ('"1e3"', "generation.prefix", "1e3"),
        ("'ROMEO:'", "generation.prefix", "ROMEO:"),
        ("true", "generation.greedy", True),
        ("False", "generation.greedy", False),
        ("null", "generation.top_k", None),
        ("~", "model.embedding_size", None),
        ("[a.txt, no]", "corpus.validation_paths", ("a.txt", "no")),
        ("a.txt", "corpus.validation_paths", ("a.txt",)),
        ("[1, 0, 0]", "corpus.split", (1.0, 0.0, 0.0)),
        ("latin1", "corpus.encoding", "iso8859-1"),
        ("UTF8", "corpus.encoding", "utf-8"),
    ],
)
def test_a_value_means_what_it_looks_like(
    written: str, name: str, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    section, key = name.split(".")
    if name.endswith("_paths"):
        expected = tuple(str(tmp_path / path) for path in expected)
    in_file = value_of(load_text(tmp_path, f"{section}:\n  {key}: {written}\n"), name)
    in_setting = value_of(override(Config(), [f"{name}={written}"]), name)
    assert in_file == in_setting == expected
    assert type(in_file) is type(in_setting) is type(expected)


def test_missing_value_is_null(tmp_path: Path) -> None:
    """A key of a file without a value is null."""
    assert load_text(tmp_path, "model:\n  embedding_size:\n").model.embedding_size is None


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("true", "batches.batch_size"),
        ("true", "training.learning_rate"),
        ("true", "training.epochs"),
        ("true", "training.budget"),
        ("true", "training.seed"),
        ("1", "generation.greedy"),
        ("yes", "generation.greedy"),
        ("off", "model.tie_weights"),
        ("no", "generation.top_k"),
        ("1:30", "training.budget"),
        ("1:30", "batches.batch_size"),
        ("1_000", "batches.batch_size"),
        ("'64'", "batches.batch_size"),
        ("64.0", "batches.batch_size"),
        ("1e3", "batches.batch_size"),
        ("010", "batches.batch_size"),
        ("64", "generation.prefix"),
        ("null", "generation.prefix"),
        ("null", "batches.batch_size"),
        ("0", "batches.batch_size"),
        ("-1", "training.seed"),
        (".nan", "training.learning_rate"),
        (".inf", "training.learning_rate"),
        ("1e999", "training.learning_rate"),
        ("0", "training.learning_rate"),
        ("1.0", "model.dropout"),
        ("0", "generation.top_p"),
        ("LSTM", "model.cell"),
        ("[lstm]", "model.cell"),
        ("{a: 1}", "model.cell"),
        ("[a.txt, 3]", "corpus.paths"),
        ("3", "corpus.paths"),
        ("[0.9, 0.1]", "corpus.split"),
        ("[0.9, 0.1, 0.1]", "corpus.split"),
        ("[0.9, 0.1, 0, 0]", "corpus.split"),
        ("[0.9, 0.99, 0.999]", "training.betas"),
        ("[0, 0.5, 0.5]", "corpus.split"),
        ("[1.5, -0.5, 0]", "corpus.split"),
        ("utf-9", "corpus.encoding"),
        ("base64", "corpus.encoding"),
        ("rot13", "corpus.encoding"),
        ('"utf-8\\0"', "corpus.encoding"),
    ],
)
def test_wrong_type_names_key_and_value(written: str, name: str, tmp_path: Path) -> None:
    """A value of the wrong type raises an error that names key and value."""
    section, key = name.split(".")
    with pytest.raises(ConfigError, match=rf"run\.yaml: .*{section}\.{key}.* is .*should "):
        load_text(tmp_path, f"{section}:\n  {key}: {written}\n")
    with pytest.raises(ConfigError, match=rf"{section}\.{key}.* is .*should "):
        override(Config(), [f"{name}={written}"])


@pytest.mark.parametrize(
    "text",
    [
        "model:\n  cell: rnn\n  cell: gru\n",
        "model: {cell: rnn, hidden_size: 3, cell: rnn}\n",
        "model:\n  cell: rnn\nbatches: {}\nmodel:\n  cell: gru\n",
    ],
)
def test_repeated_key_is_refused(text: str, tmp_path: Path) -> None:
    """A key that a file repeats raises an error with the line."""
    with pytest.raises(ConfigError, match=r"run\.yaml.*line \d.*(cell|model) is repeated"):
        load_text(tmp_path, text)


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "~\n", "\ufeff", "model:\n"])
def test_empty_file_means_defaults(text: str, tmp_path: Path) -> None:
    """A file that sets nothing gives the default config."""
    assert load_text(tmp_path, text) == Config()


def test_windows_files_are_read(tmp_path: Path) -> None:
    """A file may have a byte order mark and the line ends of Windows."""
    config = load_text(tmp_path, "\ufeffmodel:\r\n  cell: gru\r\ntraining:\r\n  seed: 3\r\n")
    assert (config.model.cell, config.training.seed) == ("gru", 3)


@given(
    hours=st.integers(0, 100), minutes=st.integers(0, 100), seconds=st.integers(1, 1000) | st.none()
)
@settings(deadline=None)
def test_durations_add_up(hours: int, minutes: int, seconds: int | None) -> None:
    total = 3600 * hours + 60 * minutes + (seconds or 0)
    if total == 0:
        return
    parts = [
        f"{hours}h" * (hours > 0),
        f"{minutes}m" * (minutes > 0),
        f"{seconds}s" * bool(seconds),
    ]
    for written in ("".join(parts), " ".join(parts)):
        assert TrainingConfig(budget=written).budget == total  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), ("3m", 180), ("3min", 180), ("1h30m", 5400), ("1.5h", 5400),
     ("0.5m", 30), ("1e3", 1000), ("2.5", 2.5)],
)  # fmt: skip
def test_durations_in_a_config(written: str, seconds: float, tmp_path: Path) -> None:
    config = load_text(tmp_path, f"training: {{budget: {written}}}")
    assert config.training.budget == seconds


@pytest.mark.parametrize(
    "written",
    ["0", "0s", "-3m", "3m2h", "m", "h", ".", "1.2.3s", "3x", "three", "nan", "inf", "''", "' '",
     "[]", "3m3m", "1e3s", "9" * 400 + "s"],
)  # fmt: skip
def test_wrong_duration_is_refused(written: str, tmp_path: Path) -> None:
    """A text that is not a duration raises an error that names the key."""
    with pytest.raises(ConfigError, match=r"training\.budget"):
        load_text(tmp_path, f"training: {{budget: {written}}}")


NO_TEXT = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec",
           "zlib_codec", "mbcs", "oem"}  # fmt: skip
"""Codecs of bytes to bytes, and those that only Windows has."""


@pytest.mark.parametrize("name", sorted(set(aliases.values())))
def test_accepted_encodings_can_decode(name: str) -> None:
    """Each encoding of Python is refused, or decodes text."""
    try:
        encoding = CorpusConfig(encoding=name).encoding
    except ValueError:
        assert name in NO_TEXT
        return
    assert CorpusConfig(encoding=encoding).encoding == encoding
    assert codecs.lookup(encoding).name == codecs.lookup(name).name
    assert codecs.getincrementaldecoder(encoding)() is not None
