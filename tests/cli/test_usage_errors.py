"""Errors about a command line: they name what was typed, and what can be typed instead."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.commands import run
from support.texts import TEXT
from typer.main import get_command

from charlm.cli.main import app

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("novel.txt").write_text(TEXT, "utf-8")
    Path("latin.txt").write_bytes(bytes(range(128, 256)) * 9)
    Path("binary").write_bytes(bytes(range(256)) * 9)
    Path("my story").mkdir()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the run `novel`, which tests copy."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "novel.txt").write_text(TEXT, "utf-8")
    small = ["--set=training.steps=1", "--set=model.hidden_size=8", "--name=novel", "--quiet"]
    result = run("train", "quickstart", folder / "novel.txt", "--runs", folder / "runs", *small)
    assert result.exit_code == 0
    return folder / "runs"


def message(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    return result.stderr.splitlines()[-1].removeprefix("charlm: ")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train novel.txt --hidden-size x", ["--hidden-size is 'x'"]),
        ("train novel.txt --set model.hidden_size=-1", ["model.hidden_size is -1"]),
        ("train novel.txt --cell foo --dropout 7", ["2 mistakes: --cell is 'foo'", "--dropout"]),
        ("bench --set a.b=1", ["a is not a key"]),
    ],
)
def test_errors_name_what_was_typed(arguments: str, words: list[str]) -> None:
    """The config quickstart, which nobody typed, is not named."""
    shown = message(*shlex.split(arguments))
    assert shown.startswith(words[0])
    assert all(word in shown for word in words)
    assert "quickstart" not in shown


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("train --hidden 64", "use --hidden-size 64 or --set model.hidden_size=64"),
        ("train --hiden 64", "use --hidden-size 64 or --set model.hidden_size=64"),
        ("generate run 'The rain'", "use --prefix 'The rain'"),
        ("generate 'The rain'", "use --prefix 'The rain'"),
        ("generate --set generation.top_k=5", "use --top-k 5"),
        ("generate --prompt x", "use --prefix"),
        ("generate --max-tokens 9", "use --length"),
        ("generate --nucleus 0.9", "use --top-p"),
        ("generate --checkpoint mine", "name the run without it: charlm generate mine"),
        ("eval --model mine", "name the run without it: charlm eval mine"),
        ("eval --data x", "use --text"),
        ("train novel.txt --rnn-size 9", "use --hidden-size 9 or --set model.hidden_size=9"),
        ("train novel.txt --block-size 9", "use --sequence-length 9"),
        ("train novel.txt --grad-clip 5", "use --set training.max_gradient_norm=5"),
        ("train novel.txt --max-iters 9", "use --steps 9"),
        ("train novel.txt --nlayers 2", "use --layers 2 or --set model.num_layers=2"),
        ("train novel.txt --out-dir x", "use --runs"),
        ("train novel.txt --gpu 0", "use --set training.device=cuda"),
        ("generate --k 5", "use --top-k"),
        ("compress novel.txt --model mine", "use --run"),
        ("train novel.txt --model gru", "use --cell gru"),
        ("train novel.txt --output x", "use --runs"),
        ("gen", "did you mean generate?"),
        ("trian", "did you mean train?"),
        ("zzz", "the commands are train, eval"),
        ("data lst", "did you mean list?"),
        ("data zzz", "charlm data has no such command; the commands are list, check, get, clear"),
        (
            "eval run novel.txt",
            "novel.txt: not a charlm checkpoint; name a text to score with --text",
        ),
        ("generate missing --temperature -1", "--temperature is -1.0: should be at least 0"),
        ("generate missing --items 5 --match '('", "the pattern '(' is invalid"),
        ("originality missing --temperature -1", "--temperature is -1.0: should be at least 0"),
        ("originality missing --match '('", "the pattern '(' is invalid"),
        ("eval run --set a.b=c", "takes the settings of the run"),
        ("eval run --set", "takes the settings of the run"),
        ("data list mine", "charlm data list takes no further argument, but got mine;"),
        ("data list --mine", "charlm data list has no such option"),
        ("generate run --length abc", "--length is 'abc': should be an integer"),
        ("generate run -n abc", "--length is 'abc': should be an integer"),
        ("generate run -t warm", "--temperature is 'warm': should be a number"),
        ("generate run --num-samples 0", "--num-samples is '0': should be at least 1"),
        (
            "eval run --split tset",
            "--split is 'tset': should be train, validation or test; did you",
        ),
        ("eval run --device gpu", "--device is 'gpu': should be auto, cpu, cuda or mps"),
        ("generate run --mark-copied", "--mark-copied needs a value: N, such as 40"),
        ("generate run -n", "-n needs a value: N, such as 500"),
        ("train --quiet=3", "--quiet takes no value"),
        ("data check", "charlm data check needs TEXT; `charlm data check --help`"),
        ("data get", "charlm data get needs name; `charlm data get --help`"),
        ("train novel.txt --set model.cel=gru", "did you mean model.cell?"),
        ("train novel.txt --seeds 3-1", "the range 3-1 runs backwards; use 1-3"),
        ("train novel.txt --set model.hidden_size=2.5", "is 2.5: should be an integer"),
        ("train novel.txt --set training.deterministic=maybe", "should be true or false"),
        ("runs mine", "charlm runs takes no further argument, but got mine"),
    ],
)
def test_errors_say_what_to_type(arguments: str, remedy: str) -> None:
    assert remedy in message(*shlex.split(arguments))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "arguments",
    [
        "train faust",
        "train quickstart --text faust",
        "bench --text faust",
        "eval novel --text faust",
        "eval novel --text tiny-shakespeare",
        "eval novel --text latin.txt",
        "eval novel --text binary",
        "train quickstart latin.txt",
        "train quickstart binary",
        "eval novel --dynamic --rows 2",
        "eval novel --save x",
        "eval novel --set corpus.builtin=faust",
        "generate novel --set model.cell=gru",
        "generate novel --temprature 1",
        "generate novel The rain",
        "generate novel --prefix ☃",
        "runs --json --sorted",
        "bench --hidden 3",
        "train --hidden 3",
        "train --resume novel --name x",
        "train --resume novel --set corpus.unit=byte",
        "train --auto --print-config",
    ],
)
def test_recommended_options_exist(trained: Path, arguments: str) -> None:
    """Every option that an error recommends belongs to the command that it is recommended for."""
    shutil.copytree(trained, "runs")
    name, *others = shlex.split(arguments)
    typed = {word.partition("=")[0] for word in others}
    shown = message(name, *others)
    quoted = re.findall(r"`charlm (\w+)([^`]*)`", shown)
    shown = re.sub(r"`[^`]*`", "", shown)
    for command, words in [(name, shown), *quoted]:
        options = {opt for one in COMMANDS[command].params for opt in one.opts} | {"--help"}
        named = {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", words)}
        assert named - (typed if command == name else set()) <= options, shown


@pytest.mark.usefixtures("here")
def test_no_runs_name_a_command() -> None:
    Path("my runs").mkdir()
    assert "`charlm train TEXT` makes one" in run("runs").stderr
    elsewhere = run("runs", "--runs", "my runs").stderr
    assert "my runs: no runs yet; `charlm train TEXT --runs 'my runs'` makes one" in elsewhere
