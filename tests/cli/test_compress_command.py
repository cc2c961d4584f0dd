"""`charlm compress`, `charlm decompress`, and `--portable` of eval and generate."""

import errno
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support.commands import refused, run, train
from support.texts import TEXT

from charlm.cli import compress as commands
from charlm.errors import CharlmError
from charlm.kernels import compiler


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and two runs, one of them an ensemble."""
    folder = tmp_path_factory.mktemp("compress")
    (folder / "text").write_text(TEXT, "utf-8")
    train(folder / "text", folder / "runs", "--name", "one", "--set=ensemble.ngram_order=null")
    train(folder / "text", folder / "runs", "--name", "mixed", "--seed=2")
    return folder


@pytest.fixture
def without_kernels(
    forgetful: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """A function after which no kernels are loaded, as in a process that may not have them."""

    def turn_off() -> None:
        monkeypatch.setenv("CHARLM_KERNELS", "off")
        forgetful()
        assert compiler.library() is None

    return turn_off


def test_a_file_comes_back(place: Path, tmp_path: Path) -> None:
    """The default names are FILE.charlm and FILE, and no existing file is replaced."""
    original = tmp_path / "copy.txt"
    original.write_text(TEXT + "Ω", "utf-8")
    model = place / "runs" / "one"
    options = ("--run", model)
    result = run("compress", model, original)
    assert result.exit_code == 0, result.output
    packed = tmp_path / "copy.txt.charlm"
    assert "1 character unknown" in result.stderr
    assert packed.stat().st_size < original.stat().st_size
    refused(run("compress", original, *options), "exists already", "--output")
    refused(run("decompress", packed, *options), "exists already", "--output")
    refused(run("compress", model, original, *options), "named twice")
    refused(run("compress", model, original, packed), "run the command for each")
    original.rename(tmp_path / "moved")
    assert run("decompress", packed, *options).exit_code == 0
    assert original.read_bytes() == (tmp_path / "moved").read_bytes()


def test_it_decompresses_without_kernels(
    place: Path, tmp_path: Path, without_kernels: Callable[[], None]
) -> None:
    """No kernels, no run: only the file."""
    packed = tmp_path / "packed"
    run("compress", place / "text", "--run", place / "runs" / "mixed", "--with-model", "-o", packed)
    without_kernels()
    result = run("decompress", packed, "-o", "-", "-q")
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.decode() == TEXT


def test_what_cannot_be_decompressed(place: Path, tmp_path: Path) -> None:
    """Another model, a damaged file and another file are refused, and no file is left."""
    packed, run_one = tmp_path / "x.charlm", place / "runs" / "one"
    run("compress", place / "text", "--run", run_one, "-o", packed)
    other = ("--run", place / "runs" / "mixed", "-o", tmp_path / "x")
    refused(run("decompress", packed, *other), "compressed with the model", "--run")
    damaged = bytearray(packed.read_bytes())
    damaged[-40] ^= 1
    packed.write_bytes(damaged)
    refused(run("decompress", packed, "--run", run_one), "x.charlm", "damaged", "use a copy")
    packed.write_bytes(b"something else entirely, of some length")
    refused(run("decompress", packed, "--run", run_one), "charlm did not compress it")
    refused(run("decompress", place / "text"), "--output")
    assert [path.name for path in tmp_path.iterdir()] == ["x.charlm"]


def test_the_run_is_found_by_its_digest(place: Path, tmp_path: Path) -> None:
    """Whichever is the newest; compress names the run to keep, and an error the right one."""
    runs, packed = ("--runs", place / "runs"), tmp_path / "x.charlm"
    for name, other in (("one", "mixed"), ("mixed", "one")):
        made = run("compress", place / "text", "--run", name, "-o", packed, *runs)
        assert f"keep {place / 'runs' / name / 'checkpoints'}" in made.stderr
        result = run("decompress", packed, "-o", "-", *runs)
        assert result.stdout_bytes == (place / "text").read_bytes(), result.output
        assert f"{place / 'runs' / name / 'checkpoints'}" in result.stderr
        wrong = ("--run", other, "-o", tmp_path / "x", *runs)
        right = f"the model of {place / 'runs' / name}"
        refused(
            run("decompress", packed, *wrong), right, f"not with that of {place / 'runs' / other}"
        )
        packed.unlink()
    last = place / "runs" / "one" / "checkpoints" / "last.safetensors"
    run("compress", place / "text", "--run", last, "-o", packed)
    assert run("decompress", packed, "-o", "-", *runs).exit_code == 0
    nowhere = ("-o", tmp_path / "x", "--runs", tmp_path)
    refused(run("decompress", packed, *nowhere), f"no run below {tmp_path} has", "--run")


def test_a_file_with_its_model_needs_no_run(place: Path, tmp_path: Path) -> None:
    with_model = ("--with-model", "-o", tmp_path / "x")
    made = run("compress", place / "text", "--run", place / "runs" / "one", *with_model)
    assert "to decompress it" not in made.stderr


class Failing(io.BytesIO):
    """A stream of which a part comes, and then no more."""

    def __init__(self, ends_with: OSError | None) -> None:
        super().__init__(b"\x89CLM")
        self._ends_with = ends_with

    def read(self, size: int | None = -1, /) -> bytes:
        if data := super().read(size):
            return data
        if self._ends_with is not None:
            raise self._ends_with
        return cast("bytes", None)  # what a stream returns that does not wait


@pytest.mark.parametrize("reason", [None, OSError(errno.EIO, "Input/output error")])
def test_no_input_is_lost(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: OSError | None
) -> None:
    """Input that cannot be read to its end is an error of the input, and no file is left."""
    for command in (commands.compress, commands.decompress):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Failing(reason)))
        with pytest.raises(CharlmError, match="standard input: could not be read"):
            command([Path("-")], place / "runs" / "one", tmp_path / "new", quiet=True)
    assert not list(tmp_path.iterdir())


def test_inputs_that_are_no_files(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders and missing files are refused before a model is read; an empty file comes back."""
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", tmp_path, "missing"):
        for command in ("compress", "decompress"):
            result = run(command, name, "-o", tmp_path / "new")
            refused(result, "could not be read")
            assert "using" not in result.stderr
    (tmp_path / "empty").touch()
    refused(run("compress", "."), "could not be read")
    packed = run("compress", "empty", "--run", place / "runs" / "one")
    assert "0 bytes compressed to" in packed.stderr
    run("decompress", "empty.charlm", "-o", "new", "--run", place / "runs" / "one")
    assert (tmp_path / "new").read_bytes() == b""


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffthe rain\r\n".encode("utf-8"),
        "the rain\r\nhad\nstopped\r".encode("utf-16"),
        "the “rain” – é".encode("cp1252"),
        b"\xed\xa0\x80\xff\x00 e\xcc\x81",
    ],
)
def test_each_encoding_comes_back(place: Path, tmp_path: Path, text: bytes) -> None:
    """A byte order mark, UTF-16, cp1252, invalid UTF-8, other normal forms and line ends."""
    one = ("--run", place / "runs" / "one")
    (tmp_path / "text").write_bytes(text)
    run("compress", tmp_path / "text", *one)
    assert run("decompress", tmp_path / "text.charlm", "-o", "-", *one).stdout_bytes == text


def test_the_score_is_the_size(place: Path, tmp_path: Path) -> None:
    """`eval --portable` states the bits that `compress` writes."""
    text = tmp_path / "held-out"
    text.write_text(TEXT[:3000], "utf-8")
    one = place / "runs" / "one"
    score = json.loads(run("eval", one, "--text", text, "--portable", "--json").stdout)
    assert "integers" in score["protocol"]
    run("compress", text, "--run", one, "-o", tmp_path / "packed")
    ideal = score["bits_per_byte"] * (3000 - 1) / 8
    assert ideal < (tmp_path / "packed").stat().st_size < ideal * 1.0005 + 100
    plain = json.loads(run("eval", one, "--text", text, "--json").stdout)
    assert abs(plain["bits_per_character"] - score["bits_per_character"]) < 0.002
    refused(run("eval", one, "--portable", "--dynamic"), "--portable", "--dynamic")


def test_portable_text_is_the_seeds(place: Path, without_kernels: Callable[[], None]) -> None:
    """The same seed gives the same text without kernels."""
    words = ("generate", place / "runs" / "mixed", "--portable", "--seed=3", "--length=40", "-q")
    here = run(*words, "--prefix=The")
    without_kernels()
    assert here.stdout == run(*words, "--prefix=The").stdout
    assert len(here.stdout) == len("The") + 40 + 1
    texts = json.loads(run(*words, "--num-samples=2", "--json").stdout)["texts"]
    following = run("generate", place / "runs" / "mixed", "--portable", "--seed=4", "--length=40")
    assert texts[1] == following.stdout.removesuffix("\n")
