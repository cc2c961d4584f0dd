"""The command line as a person or a script uses it."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clocked import clock_of_steps
from support.commands import SMALL, command, quickstart_on, refused, run, steps_logged, train
from support.properties import examples
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.runs.checkpoint_header import FORMAT_VERSION


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.texts import TEXT

    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train(folder / "text.txt", folder / "runs", "--name", "small", steps=30)


# --- what the commands print ------------------------------------------------------------------


def test_help_and_version_need_no_torch() -> None:
    heavy = "{'torch', 'numpy', 'pydantic'}"
    code = f"import sys; import charlm.cli.main; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "train" in run("--help").stdout
    assert run("--version").stdout.startswith("charlm ")


def test_train_prints_its_folder_last(trained: Path) -> None:
    """`train` prints a sample and a table of scores; the last line is the run folder."""
    result = run(
        "train", "quickstart", "--text", trained.parent.parent / "text.txt",
        "--runs", trained.parent,
        "--set=training.steps=3", *SMALL, "--set=training.report=true",
    )  # fmt: skip
    folder = Path(result.stdout.splitlines()[-1])
    assert folder == trained.parent / "text-1"
    assert "test perplexity" in result.stdout
    assert "validation loss" in result.stderr
    assert {path.name for path in folder.iterdir() if path.name != ".lock"} == {
        *("config.yaml", "environment.json", "metrics.jsonl", "samples.txt", "checkpoints"),
        "report.html",
    }


def test_quiet_prints_the_folder_alone(trained: Path, tmp_path: Path) -> None:
    text = trained.parent.parent / "text.txt"
    result = run(
        *quickstart_on(text, tmp_path),
        "--quiet",
        "--set=training.steps=2",
        *SMALL,
    )
    assert result.stdout == f"{tmp_path / 'text-1'}\n"
    assert result.stderr == ""


def test_eval_as_json(trained: Path) -> None:
    result = run("eval", trained, "--json")
    score = json.loads(result.stdout)
    assert set(score) == {
        *("nats_per_character", "perplexity", "bits_per_character", "bits_per_byte"),
        *("characters", "unknown_characters", "protocol", "overlaps", "text", "scored_at"),
        *("run", "name", "checkpoint", "step", "seed", "cell", "parameters", "charlm"),
        *("interval", "no_interval"),
    }
    assert score["perplexity"] == pytest.approx(math.exp(score["nats_per_character"]))
    rows = json.loads(run("eval", trained, "--json", "--rows", 4).stdout)
    assert rows["characters"] == score["characters"]


def test_eval_scores_splits_files_and_input(trained: Path, tmp_path: Path) -> None:
    """`eval` scores a split, a file or standard input; bits per byte count unknown characters."""
    text = tmp_path / "other.txt"
    text.write_text("The train came in. Ünïcode ☃!\n", "utf-8", newline="")
    of_file = json.loads(run("eval", trained, "--text", text, "--json").stdout)
    of_input = json.loads(
        run("eval", trained, "--text", "-", "--json", stdin=text.read_bytes()).stdout
    )
    assert of_file["text"].pop("name") == "other.txt"
    assert of_input["text"].pop("name") == "standard input"
    assert {**of_file, "scored_at": ""} == {**of_input, "scored_at": ""}
    assert of_file["characters"] == len("The train came in. Ünïcode ☃!\n") - 1
    assert of_file["unknown_characters"] >= 4
    size = len(text.read_bytes()) - 1
    bits = of_file["nats_per_character"] * of_file["characters"] / math.log(2)
    bits += of_file["unknown_characters"] * math.log2(0x110000)
    assert of_file["bits_per_byte"] == pytest.approx(bits / size)
    table = run("eval", trained, "--split", "validation")
    assert "perplexity" in table.stdout
    assert "exact" in table.stdout
    assert "approximate" in run("eval", trained, "--split", "train", "--rows", 2).stdout


def test_newest_run_is_the_default(trained: Path, tmp_path: Path) -> None:
    """Without a run, `eval` and `generate` use the newest one and name its checkpoint."""
    text = trained.parent.parent / "text.txt"
    train(text, tmp_path, "--name", "older")
    newer = train(text, tmp_path, "--name", "newer")
    os.utime(tmp_path / "older" / "checkpoints" / "last.safetensors", (1, 1))
    for name in ("eval", "generate"):
        result = run(name, "--runs", tmp_path)
        assert result.exit_code == 0
        assert str(newer / "checkpoints" / "best.safetensors") in result.stderr


def test_generate_needs_only_the_checkpoint(trained: Path, tmp_path: Path) -> None:
    """A checkpoint outside its run folder generates the same text."""
    alone = tmp_path / "model.safetensors"
    alone.write_bytes((trained / "checkpoints" / "best.safetensors").read_bytes())
    options = ("--prefix", "The ", "--length", 30, "--seed", 5)
    result = run("generate", alone, *options)
    assert result.stdout.startswith("The ")
    assert len(result.stdout) == 4 + 30 + 1
    assert run("generate", trained, *options).stdout == result.stdout


def test_generate_options(trained: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix.txt"
    prefix.write_text("The train", "utf-8")
    options = (
        "--length=20", "--temperature=0.7", "--top-k=5", "--top-p=0.9", "--min-p=0.01", "--seed=1",
    )  # fmt: skip
    one = run("generate", trained, "--prefix-file", prefix, *options)
    assert one.stdout.startswith("The train")
    assert one.exit_code == 0
    many = run("generate", trained, "--prefix", "The", "--num-samples", 3, *options)
    assert many.stdout.count("--- sample ") == 3
    greedy = [run("generate", trained, "--prefix=The", "--greedy").stdout for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert run("generate", trained, "--prefix=The☃ ", "--unknown=skip").exit_code == 0
    stopped = run("generate", trained, "--prefix=The", "--seed=1", "--length=200", "--stop= ")
    assert " " not in stopped.stdout


def test_characters_stream_as_they_come(trained: Path) -> None:
    """The first of very many characters arrives long before the last could."""
    process = subprocess.Popen(
        command("generate", trained, "--prefix", "The ", "--length", 10**9),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.read(20).startswith(b"The ")
        process.stdout.close()  # as `| head -c 20` does
        assert process.wait(timeout=60) == 0


def test_print_config_is_a_config(tmp_path: Path) -> None:
    first = run("train", "--print-config", "--set", "model.hidden_size=99", "--budget=3m")
    assert "hidden_size: 99" in first.stdout
    assert "budget: 3m\n" in first.stdout
    assert "time: of 3m, at most 36s to score" in first.stderr
    (tmp_path / "config.yaml").write_text(first.stdout, "utf-8")
    assert run("train", tmp_path / "config.yaml", "--print-config").stdout == first.stdout


def test_seed_and_budget_on_the_command_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of_steps(monkeypatch)
    text = trained.parent.parent / "text.txt"
    result = run(
        *quickstart_on(text, tmp_path),
        "--budget",
        "20s",
        "--seed",
        7,
        *(option for option in SMALL if "budget" not in option),
    )
    assert result.exit_code == 0, result.output
    records = (tmp_path / "text-1" / "metrics.jsonl").read_text("utf-8").splitlines()
    rates = [json.loads(record)["learning_rate"] for record in records if '"loss"' in record]
    assert rates[-1] < max(rates), "the schedule is laid over the time"
    assert 15 < len(rates) <= 20
    assert "budget: 20" in (tmp_path / "text-1" / "config.yaml").read_text("utf-8")


def test_data_list_names_every_text() -> None:
    listed = run("data", "list").stdout
    for name in ("python-docs", "python-stdlib", "lyrics-zh", "tiny-shakespeare"):
        assert name in listed


def test_no_colour_outside_a_terminal(trained: Path) -> None:
    result = subprocess.run(command("eval", trained), capture_output=True, check=True)
    assert b"\x1b" not in result.stdout + result.stderr
    quiet = CliRunner().invoke(app, ["eval", str(trained)], env={"NO_COLOR": "1"})
    assert "\x1b" not in quiet.output


# --- interrupted and killed -------------------------------------------------------------------


def start_long(text: Path, runs: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(
            "train", "quickstart", "--text", text, "--runs", runs, "--name", "long", *SMALL,
            "--set=training.steps=1000000", "--set=model.dropout=0.2",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("waited a minute")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize(
    "way", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_run_ended_by_a_signal_resumes(
    text_file: Path, tmp_path: Path, way: signal.Signals
) -> None:
    """A run that a signal ends exits with status 130, prints how to resume it, and resumes."""
    folder = tmp_path / "long"
    with start_long(text_file, tmp_path) as process:
        wait_until(lambda: len(steps_logged(folder)) > 20)
        process.send_signal(way)
        stdout, stderr = process.communicate()
    reached = steps_logged(folder)[-1]["step"]
    assert process.returncode == 130
    assert f"charlm train --resume {folder}" in stderr
    assert stdout.splitlines()[-1] == str(folder)
    end = reached + 30
    settings = ("--set", f"training.steps={end}")
    assert run("train", "--resume", folder, *settings).exit_code == 0
    assert steps_logged(folder)[-1]["step"] == end


@pytest.mark.parametrize("sampling", ["random", pytest.param("sequential", marks=pytest.mark.long)])
def test_killed_and_resumed_equals_whole(text_file: Path, tmp_path: Path, sampling: str) -> None:
    """A killed and resumed run has the log and samples of a whole one, across processes."""
    arguments = (
        "train", "quickstart", "--text", text_file, "--runs", tmp_path, *SMALL,
        "--set=training.steps=120", "--set=model.dropout=0.2", f"--set=batches.sampling={sampling}",
    )  # fmt: skip
    with subprocess.Popen(
        command(*arguments, "--name", "killed"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: len(steps_logged(tmp_path / "killed")) > 25)
        process.kill()
    assert run("train", "--resume", tmp_path / "killed").exit_code == 0
    assert run(*arguments, "--name", "whole").exit_code == 0
    assert steps_logged(tmp_path / "killed") == steps_logged(tmp_path / "whole")
    files = [tmp_path / name / "samples.txt" for name in ("killed", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


# --- bad input --------------------------------------------------------------------------------


def test_texts_that_cannot_be_used(tmp_path: Path) -> None:
    def refuse(content: bytes, *words: str, settings: tuple[str, ...] = ()) -> None:
        path = tmp_path / "bad.txt"
        path.write_bytes(content)
        refused(
            run(
                "train",
                "quickstart",
                "--text",
                path,
                "--runs",
                tmp_path / "runs",
                *SMALL,
                *settings,
            ),
            *words,
        )
        assert not (tmp_path / "runs").exists()

    missing = tmp_path / "missing.txt"
    refused(
        run("train", "quickstart", "--text", missing, "--runs", tmp_path / "runs"),
        str(missing),
        "no such file",
    )
    refuse(b"", "empty")
    refuse(b"abc", "split of the text", "corpus.split")
    refuse(
        b"a" * 300,
        "sequence_length",
        settings=("--set=batches.sampling=random", "--set=batches.sequence_length=500"),
    )
    refuse(b"a" * 300, "batch_size", settings=("--set=batches.batch_size=500",))
    refuse(b"abc\xff" * 1000, "byte 3 ", "UTF-8", "0xff", "corpus.encoding")
    declared = ("--set=corpus.encoding=utf-8",)
    refuse("abc".encode("utf-16"), "at byte 0", "corpus.encoding=utf-16", settings=declared)


def test_configs_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  epochs: many\n  seeed: 1\nmodle: {}\n", "utf-8")
    refused(run("train", path), "3 mistakes", "training.epochs", "'many'", "seed", "model")
    refused(run("train", "quickstrat"), "did you mean quickstart")
    refused(run("train", "--set", "model.hidden_size=big"), "model.hidden_size", "big")
    refused(run("train", "--set", "nonsense"), "section.key=value")
    path.write_text("training: [\n", "utf-8")
    refused(run("train", path), "line 2")
    novel = tmp_path / "novel.txt"
    novel.write_text("It was a dark and stormy night.", "utf-8")
    refused(run("train", "--print-config", "--budget", "soon"), "--budget is", "3m")


def test_checkpoints_that_cannot_be_used(trained: Path, tmp_path: Path) -> None:
    data = (trained / "checkpoints" / "best.safetensors").read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    version = b'\\"format_version\\": '
    newer = data.replace(version + str(FORMAT_VERSION).encode(), version + b"7")
    assert newer != data
    path = tmp_path / "checkpoint"
    for content, word in (
        (data[:-100], "cut short"), (data[:50], "cut short"), (bytes(flipped), "damaged"),
        (newer, "upgrade"), (b"PK\x03\x04 something else", "not a charlm checkpoint"),
    ):  # fmt: skip
        path.write_bytes(content)
        for name in ("eval", "generate"):
            refused(run(name, path), str(path), word)
    refused(run("eval", tmp_path / "missing"), "missing", "no such run")
    refused(run("eval", tmp_path), "contains no checkpoint")
    refused(run("generate", "--runs", tmp_path), "charlm train")
    refused(run("train", "--resume", tmp_path), "no checkpoint to resume")


def test_damaged_checkpoint_names_another(trained: Path, tmp_path: Path) -> None:
    """If the last checkpoint is damaged, the error names the best one, as long as it exists."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    last = folder / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    best = folder / "checkpoints" / "best.safetensors"
    setting = f"training.start_from={best}"
    refused(run("train", "--resume", folder), "last.safetensors", "cut short", f"--set {setting}")
    text = trained.parent.parent / "text.txt"
    sets = (*SMALL, "--set=training.steps=2", "--set", setting)
    begun = run("train", "quickstart", "--text", text, "--runs", tmp_path, *sets)
    assert begun.exit_code == 0
    best.unlink()
    result = run("train", "--resume", folder)
    refused(result, "cut short")
    assert "start_from" not in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has it")
@pytest.mark.parametrize(
    "arguments",
    [pytest.param(["eval"], marks=pytest.mark.long), ["generate", "--length", "10000"]],
)
def test_full_standard_output_is_one_line(trained: Path, arguments: list[str]) -> None:
    """A full disk behind standard output gives an error of one line."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments, trained),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    line = "charlm: standard output: No space left on device; free some space, or redirect it"
    assert done.stderr.endswith(f"{line}\n")
    assert "Traceback" not in done.stderr


def test_refused_runs_name_the_reason(trained: Path, tmp_path: Path) -> None:
    """A refused command names the run, setting, character, option or text that is wrong."""
    text = trained.parent.parent / "text.txt"
    refused(
        run(
            "train", "quickstart", "--text", text, "--runs", trained.parent,
            "--name", trained.name, *SMALL,
        ),
        "exists already", "--name",
    )  # fmt: skip
    refused(run("train", "--resume", trained, "--set=model.cell=gru"), "model.cell was lstm")
    refused(
        run("generate", trained, "--prefix", "☃"),
        "☃", "U+2603", "SNOWMAN", "--unknown",
    )  # fmt: skip
    refused(run("generate", trained, "--top-p", 7), "--top-p is 7")
    refused(run("generate", trained, "--prefix=a", "--prefix-file=b"), "--prefix-file")
    refused(run("data", "get", "nothing"), "tiny-shakespeare")
    refused(run("train", "--set=corpus.builtin=enwik8"), "charlm data get enwik8")


def test_a_folder_that_cannot_be_written(text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    refused(
        run("train", "quickstart", "--text", text_file, "--runs", tmp_path / "file", *SMALL), "file"
    )


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text("ab\r\n\0\ufeff\U0001f600", min_size=100, max_size=300).map(lambda t: t.encode()),
    ),
    st.sampled_from(["character", "byte"]),
    st.sampled_from(["keep", "unify", "space"]),
    st.sampled_from(["random", "sequential"]),
)
@settings(examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_trains_or_is_refused(
    tmp_path: Path, content: bytes, unit: str, newlines: str, sampling: str
) -> None:
    """A file of any bytes trains, generates and is scored, or is refused in one line."""
    path = tmp_path / "any.txt"
    path.write_bytes(content)
    keys = (f"corpus.unit={unit}", f"corpus.newlines={newlines}", f"batches.sampling={sampling}")
    result = run(
        "train", "quickstart", "--text", path, "--runs", tmp_path / "runs", *SMALL,
        "--set=training.steps=1", "--quiet", *(f"--set={key}" for key in keys),
    )  # fmt: skip
    if result.exit_code == 0:
        assert run("generate", result.stdout.strip(), "--length", 5).exit_code == 0
        assert run("eval", result.stdout.strip(), "--text", path).exit_code == 0
    else:
        refused(result)
