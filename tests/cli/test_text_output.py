"""Text and bytes go out as they are: what a model wrote, what it read, and the names of files."""

import io
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import examples
from typer.testing import CliRunner, Result

import charlm
from charlm.cli.console import PlainConsole
from charlm.cli.generate import generate
from charlm.cli.main import app
from charlm.cli.terminal import for_terminal, generated_for_terminal
from charlm.config.schema import Config, CorpusConfig, GenerationConfig, ModelConfig
from charlm.corpus.decoding import as_read
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import VocabularyError
from charlm.models.language_model import LanguageModel
from charlm.prediction.generation import generate_samples
from charlm.prediction.predictor import Predictor, load
from charlm.runs.checkpoint import Checkpoint, write_checkpoint

NO_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""An environment in which Python decodes arguments and names as ASCII."""
RAW = b"\xff\x00\xe9\r\n\t\xc3"
"""Bytes that are no UTF-8, and such as are easily changed on their way."""


def write_model(path: Path, vocabulary: Vocabulary, prefix: str = "") -> Path:
    """Write a checkpoint of random weights, which draws each symbol about as often."""
    config = Config(
        corpus=CorpusConfig(unit=vocabulary.unit),
        model=ModelConfig(hidden_size=8),
        generation=GenerationConfig(length=600, prefix=prefix),
    )
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    write_checkpoint(path, Checkpoint(config, vocabulary, "0", model.state_dict()))
    return path


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bytes") / "bytes.safetensors"
    return write_model(path, Vocabulary.of_bytes())


@pytest.fixture(scope="module")
def of_characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("characters") / "characters.safetensors"
    return write_model(path, Vocabulary(tuple(sorted(map(ord, "\t\r\nabcemlité你\u202e")))))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def drawn(predictor: Predictor, prefix: bytes | None = None, seed: int = 1) -> bytes:
    return b"".join(charlm.generate_bytes(predictor, prefix, seed=seed))


def test_pipe_and_file_get_the_drawn_bytes(of_bytes: Path, tmp_path: Path) -> None:
    """A pipe and a file receive exactly the bytes that a byte model draws."""
    predictor = load(of_bytes)
    expected = RAW + drawn(predictor, RAW)
    assert len(expected) == len(RAW) + 600
    assert len(set(expected[len(RAW) :]) - set(range(0x80))) > 50, "hardly any is UTF-8"
    prefix = tmp_path / "prefix"
    prefix.write_bytes(RAW)
    piped = run("generate", of_bytes, "--seed=1", "--prefix-file", prefix)
    assert piped.stdout_bytes == expected
    written = tmp_path / "written"
    result = run("generate", of_bytes, "--seed=1", "--prefix-file", prefix, "--output", written)
    assert result.stdout_bytes == b"" and written.read_bytes() == expected


def test_several_samples_are_the_drawn_bytes(of_bytes: Path, tmp_path: Path) -> None:
    """Several samples are written as the bytes that were drawn, each below its heading."""
    first, second = generate_samples(load(of_bytes), b"\xff", num_samples=2, seed=1)
    expected = b"--- sample 1 ---\n\xff%b\n--- sample 2 ---\n\xff%b\n" % (first, second)
    options = ("--seed=1", "--num-samples=2", "--prefix", os.fsdecode(b"\xff"))
    assert run("generate", of_bytes, *options).stdout_bytes == expected
    assert run("generate", of_bytes, *options, "--output", tmp_path / "new").exit_code == 0
    assert (tmp_path / "new").read_bytes() == expected


@pytest.mark.parametrize("samples", [1, 2])
def test_a_prefix_is_normalised_once(
    of_characters: Path, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The written text is the text that the model reads: one decoding gives both."""
    read: list[str] = []

    def note(text: str, config: CorpusConfig) -> str:
        read.append(text)
        return as_read(text, config)

    monkeypatch.setattr("charlm.prediction.generation.as_read", note)
    options = (f"--num-samples={samples}", "--length=1", "--prefix=a\r\nb")
    result = run("generate", of_characters, *options)
    assert result.stdout.count("a\nb") == samples
    assert read == ["a\r\nb"]


@given(prefix=st.binary(min_size=1, max_size=30))
@example(prefix=rb"\textbf{the rain")
@example(prefix=rb"C:\new\table")
@example(prefix=rb"printf('\\n\n')")
@examples(20)
def test_byte_prefix_comes_back_unchanged(of_bytes: Path, prefix: bytes) -> None:
    """A byte model reads any prefix and writes it back unchanged."""
    predictor = load(of_bytes)
    # No argument can hold a zero.
    as_argument = prefix.replace(b"\0", b"\1")
    typed = as_argument.decode("utf-8", "surrogateescape")
    result = run("generate", of_bytes, "--length=3", "--seed=1", f"--prefix={typed}")
    continued = b"".join(charlm.generate_bytes(predictor, as_argument, length=3, seed=1))
    assert result.stdout_bytes == as_argument + continued


def test_bytes_end_before_a_stop_of_bytes(of_bytes: Path) -> None:
    predictor = load(of_bytes)
    whole = drawn(predictor)
    stop = next(whole[k : k + 2] for k in range(100, 600) if whole[k] >= 0x80)
    before = whole.partition(stop)[0]
    assert b"".join(charlm.generate_bytes(predictor, seed=1, stop=stop)) == before
    piped = run("generate", of_bytes, "--seed=1", f"--stop={os.fsdecode(stop)}")
    assert piped.stdout_bytes == before


def test_python_gets_text_or_bytes(of_bytes: Path, of_characters: Path) -> None:
    """In Python, a model of characters or of bytes gives text or bytes."""
    predictor = load(of_characters)
    text = "".join(charlm.generate(predictor, "é", seed=1))
    assert drawn(predictor, "é".encode()).decode() == text
    with pytest.raises(VocabularyError, match="byte 0 is not UTF-8"):
        charlm.generate_bytes(predictor, b"\xff")
    shown = "".join(charlm.generate(load(of_bytes), "é", seed=1))
    assert shown == drawn(load(of_bytes), "é".encode()).decode("utf-8", "replace")


def test_the_prefix_of_a_config_may_be_bytes(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model", Vocabulary.of_bytes(), prefix="\udcff")
    expected = b"\xff" + drawn(load(path), b"\xff")
    assert run("generate", path, "--seed=1").stdout_bytes == expected


def test_output_file_is_utf_8(of_characters: Path, tmp_path: Path) -> None:
    """`--output` writes the text of a character model in UTF-8, as standard output gets it."""
    written = tmp_path / "written.txt"
    arguments = ("generate", of_characters, "--seed=1", "--prefix=é")
    assert run(*arguments, "--output", written).exit_code == 0
    assert written.read_bytes() + b"\n" == run(*arguments).stdout_bytes


def test_output_replaces_no_file(of_bytes: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    places = {"mine": "mine", "link": "link", "missing/file": "missing"}
    for name, place in (places | {f"{'x' * 300}/file": "x" * 300}).items():
        options = (["generate", "--output"], ["eval", "--dynamic", "--save"])
        for command, *others in options:
            result = run(command, of_bytes, *others, tmp_path / name)
            assert result.exit_code == 1 and others[-1] in result.stderr
            assert f"{tmp_path / place}: " in result.stderr
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine"]


@pytest.mark.parametrize(("unknown", "shown"), [("skip", "mile"), ("map", "\ufffdmile")])
def test_printed_prefix_is_what_was_read(unknown: str, shown: str, of_characters: Path) -> None:
    """The printed prefix is what the model read: unknown characters are left out or replaced."""
    options = ("--length=3", "--greedy", "--unknown", unknown)
    one = run("generate", of_characters, "--prefix=Émile", *options)
    assert one.stdout.startswith(shown) and len(one.stdout) == len(shown) + 3 + 1
    two = run("generate", of_characters, "--prefix=Émile", *options, "--num-samples=2")
    assert two.stdout.count(f" ---\n{shown}") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are UTF-16 there")
def test_undecodable_argument_is_utf_8(of_characters: Path, tmp_path: Path) -> None:
    """An argument that the locale cannot decode is read as UTF-8."""
    named = tmp_path / "é你.txt"
    options = ("--length=1", "--seed=1", "--quiet")
    command = (sys.executable, "-m", "charlm", "generate", of_characters, *options)
    given = (*command, "--prefix", "é你", "--stop", "你", "--output", named)
    result = subprocess.run(given, env=os.environ | NO_LOCALE, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert named.read_text("utf-8").startswith("é你")


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are UTF-16 there")
def test_settings_are_alike_in_every_locale(tmp_path: Path) -> None:
    """Settings and configs mean the same in every locale."""
    (tmp_path / "é你.txt").write_text("é你 a text\n" * 40, "utf-8")
    (tmp_path / "my.yaml").write_text("corpus:\n  paths: é你.txt\n", "utf-8")
    script = (
        "import sys; from charlm.config.load import load_config; "
        "from charlm.corpus.builder import build_corpus; "
        "config = load_config(sys.argv[1], sys.argv[2:]); build_corpus(config.corpus); "
        "sys.stdout.buffer.write(config.generation.prefix.encode())"
    )
    settings = ("generation.prefix=é你", f"corpus.test_paths={tmp_path / 'é你.txt'}")
    command = (sys.executable, "-c", script, tmp_path / "my.yaml", *settings)
    result = subprocess.run(command, env=os.environ | NO_LOCALE, capture_output=True, check=False)
    assert (result.stdout.decode(), result.stderr.decode()) == ("é你", "")


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are UTF-16 there")
@pytest.mark.parametrize("option", ["--prefix", "--stop"])
def test_invalid_utf_8_argument_is_named(option: str, of_characters: Path) -> None:
    """An error about an argument that is not UTF-8 names the byte, not the vocabulary."""
    result = run("generate", of_characters, option, os.fsdecode(b"ab\xff"))
    assert result.exit_code == 1
    assert f"{option}: byte 2 is not UTF-8 (0xff)" in result.stderr
    assert "vocabulary" not in result.stderr


def test_prefix_file_in_utf_16_is_named(of_characters: Path, tmp_path: Path) -> None:
    """A prefix file in UTF-16 without a byte order mark is refused as such."""
    path = tmp_path / "prefix.txt"
    path.write_text("ab\n" * 20, "utf-16-le")
    result = run("generate", of_characters, "--prefix-file", path)
    assert "UTF-16 text without a byte order mark" in result.stderr


def test_pipe_gets_sample_and_names_exactly(tmp_path: Path) -> None:
    """A pipe gets the last sample of `train` and the names of files exactly.

    Rich would expand tabs and drop carriage returns, bells and form feeds.
    """
    odd = "\t\r\a\b\v\f"
    text = tmp_path / f"a{odd}text"
    text.write_bytes((odd + "ab\u202e").encode() * 500)
    runs = tmp_path / f"runs{odd}\udcff"
    small = ["--set=training.steps=2", "--set=training.budget=null", "--set=model.hidden_size=8"]
    small += ["--set=corpus.newlines=keep"]
    result = run(
        "train", "quickstart", "--text", text, "--runs", runs, "--name=r", "--seed=1", *small
    )
    assert result.exit_code == 0, result.stderr
    folder = runs / "r"
    with (folder / "samples.txt").open(encoding="utf-8", newline="") as file:
        sample = file.read().split("--- step 2 ---\n")[1]
    assert set(odd) < set(sample)
    assert result.stdout_bytes.startswith(sample.encode())
    assert result.stdout_bytes.endswith(os.fsencode(folder) + b"\n")
    assert os.fsencode(folder) in result.stderr_bytes
    other = tmp_path / f"other{odd}"
    other.write_bytes(b"ba" * 500)
    scored = run("eval", folder, "--text", other)
    assert scored.stdout_bytes.startswith(b"text                " + os.fsencode(other) + b"\n")


@pytest.mark.parametrize("members", [1, 2])
def test_samples_have_the_bytes_drawn(members: int, tmp_path: Path) -> None:
    """What a byte model draws in training is written unchanged, in each log and to a pipe."""
    (text := tmp_path / "text").write_bytes(RAW * 300)
    settings = ["corpus.unit=byte", "training.steps=2", "training.budget=null"]
    settings += ["model.hidden_size=8", f"ensemble.members={members}"]
    options = [option for setting in settings for option in ("--set", setting)]
    result = run("train", "quickstart", "--text", text, "--runs", tmp_path, "--name=r", *options)
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "r"
    log = (folder / "samples.txt").read_bytes()
    logs = [log]
    if members > 1:
        logs = [(folder / f"member-{k}" / "samples.txt").read_bytes() for k in (1, 2)]
        numbered = [
            one.replace(b"- step", b"- member %d, step" % k) for k, one in enumerate(logs, 1)
        ]
        assert log == b"".join(numbered)
    else:
        sample = log.split(b"--- step 2 ---\n")[1]
        assert result.stdout_bytes.startswith(sample)
    for one in (result.stdout_bytes, *logs):
        assert "\ufffd".encode() not in one
        assert "\ufffd" in one.decode("utf-8", "replace")


def test_a_terminal_shows_raw_bytes_as_one_sign() -> None:
    """A sample with raw bytes looks as `generate` shows it."""
    stream = _Stream(True)
    PlainConsole(file=stream).print_generated("é\udcff\udcc3\udca9")
    stream.seek(0)
    assert stream.read() == "é\ufffdé\n"


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize(("pieces", "ends_line"), [([b"ab"], False), ([b"a", b"\n"], True)])
def test_an_interruption_ends_the_line(
    pieces: list[bytes],
    ends_line: bool,
    is_terminal: bool,
    of_characters: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C during `generate` gives the prompt of a terminal its own line."""

    def interrupted(*_: Any, **__: Any) -> Iterator[bytes]:
        yield from pieces
        raise KeyboardInterrupt

    monkeypatch.setattr("charlm.prediction.generation.generate_bytes", interrupted)
    stream = _Stream(is_terminal)
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        generate(of_characters, quiet=True)
    text = b"".join(pieces) + b"\n" * (is_terminal and not ends_line)
    stream.seek(0)
    assert stream.read() == text.decode()


class _Stream(io.TextIOWrapper):
    name, mode = "stream", "w"

    def __init__(self, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


TERMINAL, PIPE = _Stream(is_terminal=True), _Stream(is_terminal=False)


def test_terminal_shows_hidden_in_names() -> None:
    """In a name, a terminal shows the code of each character that reorders text or is invisible."""
    hidden = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Cf", "Zl", "Zp")]
    shown = for_terminal("".join(hidden), TERMINAL)
    left = {character for character in shown if character in set(hidden)}
    assert all("ARABIC" in (name := unicodedata.name(c)) or "SYRIAC" in name for c in left)
    assert not left & set("\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\ufeff\u00ad")
    assert for_terminal("a\u202eb", TERMINAL) == "a<U+202E>b"
    assert for_terminal("a\udcffb", TERMINAL) == "a<0xFF>b"
    assert for_terminal("a\u202e\udcffb", PIPE) == "a\u202e\udcffb"


def test_terminal_keeps_marks_of_scripts() -> None:
    """In generated text, a terminal keeps the marks that scripts need.

    It shows those that reorder what follows: a model need not close what it opens.
    """
    written = "می\u200cخواهم \u200f(א)\u200e क्\u200dष 👩\u200d🚀 \u061c٣"
    assert generated_for_terminal(written, TERMINAL) == written
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A)):
        shown = generated_for_terminal(chr(code), TERMINAL)
        assert shown == f"<U+{code:04X}>"
