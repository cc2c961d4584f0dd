"""Settings do what they say: durations, limits, texts, names, and what a person types."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.commands import SMALL, quickstart_on, refused, run
from support.texts import TEXT
from support.training import TINY, PowerLossError, assert_same_weights, crash_at, lines, train

import charlm
from charlm.cli.arguments import ESCAPES_HELP, expand_escapes, name_options
from charlm.cli.main import app
from charlm.config.load import config_names, load_config, override
from charlm.config.schema import (
    BatchesConfig,
    Config,
    CorpusConfig,
    EnsembleConfig,
    ModelConfig,
    TrainingConfig,
)
from charlm.config.values import parse_duration
from charlm.corpus.batches import make_batches
from charlm.corpus.builder import build_corpus
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import ConfigError, CorpusError
from charlm.formatting import option_duration
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.folder import RunFolder
from charlm.runs.network_choice import NETWORK_LOSSES
from charlm.suggestions import did_you_mean_path
from charlm.training.events import Advised, Event, Finished, NetworkBegins
from charlm.training.fine_tuning import read_start


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train(folder / "text.txt", folder, "training.steps=3", name="run").path


# Durations


UNITS = ["h", "m", "s"]
IN_SECONDS = {"h": 3600, "m": 60, "s": 1}


@given(
    amounts=st.lists(st.integers(0, 100_000), min_size=1, max_size=3),
    first=st.integers(0, 2),
    is_bare=st.booleans(),
    long_minutes=st.booleans(),
    spaces=st.tuples(*[st.sampled_from(["", " ", "  "])] * 6),
    divisor=st.sampled_from([1, 10]),
)
@example([1, 30], 0, True, False, ("",) * 6, 1)
@example([90], 2, True, False, ("",) * 6, 1)
@settings(deadline=None)
def test_bare_number_has_next_smaller_unit(
    amounts: list[int],
    first: int,
    is_bare: bool,
    long_minutes: bool,
    spaces: tuple[str, ...],
    divisor: int,
) -> None:
    """A number without a unit takes the unit below the previous one.

    After `h` it is minutes, after `m` seconds; a number alone is seconds.
    """
    units = UNITS[first : first + len(amounts)]
    amounts = amounts[: len(units)]
    if is_bare and len(units) == 1:
        units = ["s"]
    written, total = "", 0.0
    for place, (amount, unit) in enumerate(zip(amounts, units, strict=True)):
        is_last = place == len(units) - 1
        number = amount / divisor if is_last else amount
        total += number * IN_SECONDS[unit]
        sign = "" if is_bare and is_last else "min" if long_minutes and unit == "m" else unit
        written += f"{spaces[2 * place]}{number}{spaces[2 * place + 1]}{sign}"
    assert parse_duration(written) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1h30", 5400), ("1h30m15s", 5415), ("1h30m15", 5415), ("1m30", 90), ("1h15s", 3615),
     ("1.5h", 5400), ("2 h 5 min", 7500), ("90", 90)],
)  # fmt: skip
def test_durations_as_people_write_them(written: str, seconds: float) -> None:
    assert TrainingConfig(budget=written).budget == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    ["1h30x", "1 30m", "30s5m", "1h2h", "1h30m15s7", "h", "--3m", "-3m", "0", "0h0m0s", "inf",
     "1e99h", "9" * 400 + "h", "nan", "½h", "٣m", ""],
)  # fmt: skip
def test_invalid_duration_is_refused(written: str) -> None:
    """An invalid duration is refused, and the error shows a valid one or the limit."""
    with pytest.raises(ConfigError, match=r"training\.budget .*(3m|greater than 0|finite)"):
        load_config("quickstart", [f'training.budget="{written}"'])


# Splits


@given(st.integers(1, 1000))
def test_single_fraction_halves_the_rest(thousandths: int) -> None:
    """A single fraction is the training split; validation and test each get half of the rest."""
    fraction = thousandths / 1000
    train, validation, test = CorpusConfig(split=fraction).split  # type: ignore[arg-type]
    assert (train, validation) == (fraction, test)
    assert train + validation + test == pytest.approx(1, abs=1e-9)


def test_single_fraction_equals_the_three() -> None:
    """A single fraction gives the same config as the three fractions; an invalid one is refused."""
    three = load_config("quickstart", ["corpus.split=[0.8, 0.1, 0.1]"])
    assert load_config("quickstart", ["corpus.split=0.8"]) == three
    assert load_config("quickstart", ["corpus.split=1"]).corpus.split == (1, 0, 0)
    for wrong in ("0", "80", "-0.5", "true", "[0.9, 0.1]", "nan"):
        with pytest.raises(ConfigError, match=r"corpus\.split"):
            load_config("quickstart", [f"corpus.split={wrong}"])


# Rare characters


@pytest.mark.parametrize("minimum_count", [1, 3, 10])
def test_hapax_dropout_for_any_minimum_count(minimum_count: int, tmp_path: Path) -> None:
    """Hapax dropout works with every minimum count.

    Characters at the edge of being known are read as unknown in some epochs, no others are.
    """
    path = tmp_path / "text"
    edge = "vwxyz"  # known by one occurrence, or almost unknown
    path.write_text("abc " * 2000 + edge * minimum_count + "abc " * 200, "utf-8")
    config = CorpusConfig(
        paths=(str(path),), builtin=None, split=(1, 0, 0), minimum_count=minimum_count
    )
    corpus = build_corpus(config)
    assert set(corpus.vocabulary.decode(corpus.hapaxes)) == set(edge)
    sampling = BatchesConfig(batch_size=4, sequence_length=10, hapax_dropout=0.5)
    batches = make_batches(corpus.splits["train"].ids, sampling, seed=1, hapaxes=corpus.hapaxes)
    hidden = Counter[bool]()
    while batches.epochs < 12:
        inputs = next(batches).inputs.numpy()
        hidden[bool((inputs == 0).any())] += 1
    assert hidden[True] > 0, "some are read as unknown"


# Texts


OTHER_TEXT = "Somebody said the train was late, and that no one would come for them.\n" * 20
SEPARATE = ("validation_paths", "test_paths")


def set_separate(folder: Path) -> list[str]:
    return [f"corpus.{key}={folder / key}.txt" for key in SEPARATE]


@pytest.fixture
def three_texts(text_file: Path) -> Path:
    """A folder with a text and two others for validation and test."""
    for key in SEPARATE:
        (text_file.parent / f"{key}.txt").write_text(f"{key}: {OTHER_TEXT}", "utf-8")
    return text_file.parent


def moved(folder: Path) -> Path:
    """Move the three texts to another folder."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("text", *SEPARATE):
        (folder / f"{name}.txt").rename(elsewhere / f"{name}.txt")
    return elsewhere


def crash_at_network(number: int) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        if isinstance(event, NetworkBegins) and event.number == number:
            raise PowerLossError

    return on_event


def test_settings_apply_after_the_text(three_texts: Path) -> None:
    """The order is: config file, --text, --set."""
    separate = set_separate(three_texts)
    corpus = load_config("quickstart", separate, text=three_texts / "text.txt").corpus
    assert corpus.paths == (str(three_texts / "text.txt"),)
    assert corpus.validation_paths == (str(three_texts / "validation_paths.txt"),)
    assert corpus.test_paths == (str(three_texts / "test_paths.txt"),)
    again = override(Config(corpus=corpus), [], "other.txt").corpus
    assert (again.validation_paths, again.test_paths) == ((), ()), "they go with their text"
    trained = train(three_texts / "text.txt", three_texts, "training.steps=1", *separate)
    written = load_config(trained.config_file).corpus
    assert (written.validation_paths, written.test_paths) == (
        corpus.validation_paths,
        corpus.test_paths,
    )


@pytest.mark.parametrize("setting", ["corpus.paths=b.txt", "corpus.builtin=lyrics-zh"])
def test_two_texts_for_one_place_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"--text and {setting.partition('=')[0]}"):
        load_config("quickstart", [setting], text="a.txt")


def test_run_with_moved_files_resumes(three_texts: Path) -> None:
    """A run whose separate files all moved resumes once it is told where they are.

    It ends as the one that was not moved, and `eval` finds the texts in their new place.
    """
    settings = ["training.steps=4", "training.validate_every=2", *set_separate(three_texts)]
    whole = train(three_texts / "text.txt", three_texts, *settings, name="whole")
    with pytest.raises(PowerLossError):
        train(
            three_texts / "text.txt", three_texts, *settings, "training.save_every=1", name="cut",
            on_event=crash_at(3),
        )  # fmt: skip
    cut, elsewhere = RunFolder(three_texts / "cut"), moved(three_texts)
    with pytest.raises(CorpusError):
        charlm.resume(cut.path, text=elsewhere / "text.txt")
    (three_texts / "other.txt").write_text(OTHER_TEXT + "And more.", "utf-8")
    for key in SEPARATE:  # another text in the place of one of them is refused
        wrong = [*set_separate(elsewhere), f"corpus.{key}={three_texts / 'other.txt'}"]
        with pytest.raises(CorpusError, match="text has changed since"):
            charlm.resume(cut.path, text=elsewhere / "text.txt", settings=wrong)
    charlm.resume(cut.path, text=elsewhere / "text.txt", settings=set_separate(elsewhere))
    assert_same_weights(cut.best, whole.best)
    assert lines(cut) == lines(whole)
    for part in ("validation", "test"):
        assert charlm.evaluate(charlm.load(cut.path), split=part).nats > 0
    with pytest.raises(CorpusError):
        charlm.evaluate(charlm.load(whole.path))


def test_finished_run_finds_its_moved_text(three_texts: Path) -> None:
    """A finished run is scored on its moved text once it is resumed with the new path."""
    trained = train(three_texts / "text.txt", three_texts, "training.steps=2", name="run")
    elsewhere = moved(three_texts)
    charlm.resume(trained.path, text=elsewhere / "text.txt")
    assert charlm.evaluate(charlm.load(trained.path)).nats > 0


def test_ensemble_with_moved_files_resumes(three_texts: Path) -> None:
    """An ensemble whose separate files all moved resumes, and each member finds them.

    A different text in their place is refused, and the config keeps the old paths.
    """
    settings = [
        *("training.steps=2", "ensemble.members=2", "ensemble.ngram_order=2"),
        *set_separate(three_texts),
    ]
    with pytest.raises(PowerLossError):
        train(
            three_texts / "text.txt", three_texts, *settings, name="cut",
            on_event=crash_at_network(2),
        )  # fmt: skip
    ensemble, elsewhere = RunFolder(three_texts / "cut"), moved(three_texts)
    before = ensemble.config_file.read_bytes()
    (three_texts / "other.txt").write_text(OTHER_TEXT + "And more.", "utf-8")
    wrong = [*set_separate(elsewhere), f"corpus.test_paths={three_texts / 'other.txt'}"]
    with pytest.raises(CorpusError, match="text has changed since"):
        charlm.resume(ensemble.path, text=elsewhere / "text.txt", settings=wrong)
    assert ensemble.config_file.read_bytes() == before, "a refused text is not written down"
    charlm.resume(ensemble.path, text=elsewhere / "text.txt", settings=set_separate(elsewhere))
    for folder in (ensemble.path, ensemble.path / "member-1", ensemble.path / "member-2"):
        assert charlm.evaluate(charlm.load(folder), split="test").nats > 0


# Limits


LIMITS = {"epochs": 7.0, "steps": 500, "budget": 240.0}


@pytest.mark.parametrize("name", [*config_names(), "all"])
@pytest.mark.parametrize("limit", LIMITS)
def test_setting_a_limit_keeps_the_others(name: str, limit: str, tmp_path: Path) -> None:
    """Setting one limit of training keeps the others.

    For every shipped config, and one with all limits; null removes a limit.
    """
    (tmp_path / "all.yaml").write_text(f"training: {LIMITS}\n", "utf-8")
    source = tmp_path / "all.yaml" if name == "all" else name
    before = load_config(source).training.model_dump(include={*LIMITS})
    setting = f"training.{limit}={LIMITS[limit]:g}"
    after = load_config(source, [setting]).training.model_dump(include={*LIMITS})
    assert after == before | {limit: LIMITS[limit]}
    (other,) = {"epochs": ["steps"], "steps": ["budget"], "budget": ["epochs"]}[limit]
    named = load_config(source, [setting, f"training.{other}=null"]).training
    assert named.model_dump(include={*LIMITS}) == after | {other: None}


def test_run_begins_by_naming_its_limits(text_file: Path, tmp_path: Path) -> None:
    """A run begins by naming all its limits, and so does a resumed one."""
    arguments = [
        *quickstart_on(text_file, tmp_path),
        "--budget",
        "1h30",
        *SMALL,
    ]
    done = run(
        *(word for word in arguments if "budget=" not in str(word)), "--set=training.steps=1"
    )
    assert done.exit_code == 0, done.output
    assert "for at most 1 step, or 1h30m if that is sooner" in done.stderr
    folder = done.stdout.splitlines()[-1]
    again = run("train", "--resume", folder, "--set=training.epochs=3")
    assert "at most 3 epochs, or 1 step or 1h30m if that is sooner" in again.stderr
    assert "finished at its limit of 1 step; extend it with --set training.steps=2" in again.stderr
    assert RunFolder(Path(folder)).read_config() is not None


@given(st.integers(1, 10**9))
def test_shown_duration_is_a_valid_option(milliseconds: int) -> None:
    """A duration that a message shows can be given as an option."""
    seconds = milliseconds / 1000
    assert parse_duration(option_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_deterministic_warns_of_a_budget(text_file: Path, tmp_path: Path) -> None:
    """With `--deterministic`, a budget gives a warning: the clock decides the number of steps."""
    arguments = [
        *quickstart_on(text_file, tmp_path),
        "--deterministic",
        *SMALL,
    ]
    alone = run(*arguments, "--set=training.steps=1")
    assert "clock" not in alone.stderr
    done = run(*arguments, "--set=training.steps=1", "--set=training.budget=9m")
    assert "training.budget makes the number of steps depend on the clock" in done.stderr


# What was typed


def options_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each option that takes a value, with the command that it belongs to."""
    for parameter in command.params:
        for option in parameter.opts:
            is_flag = getattr(parameter, "is_flag", False)
            if option.startswith("--") and not is_flag and path:
                yield path, option
    for name, below in getattr(command, "commands", {}).items():
        yield from options_of(below, (*path, name))


OPTIONS = list(options_of(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=lambda value: str(value).strip("-"))
def test_empty_option_value_is_refused(path: tuple[str, ...], option: str) -> None:
    """An empty value is refused, and the error names its option.

    An unset shell variable is not a value; only a prefix may be empty.
    """
    for words in ([option, ""], [f"{option}="]):
        result = run(*path, *words)
        if option == "--prefix":
            assert "is empty" not in result.output
        else:
            refused(result, f"the value of {option} is empty")


@pytest.mark.parametrize("command", ["train", "eval", "generate", "bench", "data get"])
def test_an_empty_argument_is_refused(command: str) -> None:
    refused(run(*command.split(), ""), "an argument is empty")
    refused(run(*command.split(), *["--quiet"] * (command != "bench"), ""), "an argument is empty")


@pytest.mark.parametrize("value", ["", " ", "#5", "# a comment"])
def test_setting_without_value_is_refused(value: str) -> None:
    """A setting without a value is refused; `null` and a quoted empty string are values."""
    for key in ("training.budget", "corpus.paths", "generation.prefix", "model.embedding_size"):
        with pytest.raises(ConfigError, match=f"{key}.*the value is empty.*null"):
            load_config("quickstart", [f"{key}={value}"])
        with pytest.raises(ConfigError, match="the value is empty"):
            override(Config(), [f"{key}={value}"])
    for null in ("null", "~", " Null "):
        assert load_config("textbook-random", [f"training.steps={null}"]).training.steps is None
    assert load_config("textbook-random", ["generation.prefix=''"]).generation.prefix == ""


WRONG = {
    "--budget": ["soon", "0", "-1", "[1]", "1h30x"],
    "--seed": ["-1", str(2**62)],
    "--length": ["0", "-1"],
    "--temperature": ["-1", "nan", "inf"],
    "--top-k": ["0", "-3"],
    "--top-p": ["0", "1.5", "nan"],
    "--min-p": ["-0.1", "2"],
}


@pytest.mark.parametrize("option", WRONG)
def test_mistake_names_the_typed_option(option: str, small_run: Path) -> None:
    """An error names the option that was typed, not the key of the config that it sets."""
    command = ["train", "--print-config"] if option in ("--budget", "--seed") else ["generate"]
    command += [str(small_run)] * (command == ["generate"])
    key = f"{'training' if command[0] == 'train' else 'generation'}.{option[2:].replace('-', '_')}"
    for value in WRONG[option]:
        for words in ([option, value], [f"{option}={value}"]):
            result = run(*command, *words)
            refused(result, f"{option} is ")
            assert key not in result.stderr
    if command[0] == "train":
        refused(run(*command, "--set", f"{key}=soon"), f"{key} is 'soon'")


def test_resume_names_the_changed_option(small_run: Path) -> None:
    """If a resumed run cannot take a setting, the error names the option."""
    refused(run("train", "--resume", small_run, "--seed", 3), "--seed was 0 and is 3")
    refused(run("train", "--resume", small_run, "--budget", "soon"), "charlm: --budget is 'soon'")


def test_key_is_named_without_an_option() -> None:
    """An error names the config key where no option was typed."""
    message = "training.budget is 0; training.budget_x is 1; corpus.paths: too many"
    assert name_options(message, ["--set", "training.budget=0"]) == message
    named = "--budget is 0; training.budget_x is 1; --text: too many"
    assert name_options(message, ["--budget=0", "--text", "a", "-k"]) == named


def test_option_and_setting_of_one_key() -> None:
    """An option and a `--set` of the same key are refused together."""
    for option, value in (("budget", "3m"), ("seed", "3")):
        words = [f"--{option}", value, "--set", f"training.{option}={value}"]
        refused(run("train", "--print-config", *words), f"--{option} and --set training.{option}")


@given(st.text(st.sampled_from("\\ntrab\n\t'")))
@example(r"\n")
@example(r"a\\n")
@example(r"\section{\textit}")
def test_escapes_are_what_they_stand_for(text: str) -> None:
    """Each text can be written, and without a backslash it is unchanged."""
    written = text.replace("\\", r"\\").replace("\n", r"\n").replace("\t", r"\t")
    assert expand_escapes(written) == text
    if not re.search(r"\\[ntr\\]", text):
        assert expand_escapes(text) == text


def test_stop_takes_escapes(small_run: Path) -> None:
    """The sample ends at the text of --stop."""
    arguments = ["generate", small_run, "--seed", 1, "--length", 2000]
    whole = run(*arguments, "--prefix", "The\n").stdout
    first = whole.removeprefix("The\n").partition("\n")[0]
    assert run(*arguments, "--prefix", "The\n", "--stop", r"\n").stdout == f"The\n{first}\n"
    assert "escapes" in run(*arguments, "--stop", r"\n").stderr
    assert "escapes" not in run(*arguments, "--stop", r"\n", "--quiet").stderr
    help_ = " ".join(run("generate", "--help").stdout.replace("│", " ").split())
    assert help_.count(ESCAPES_HELP) == 1


# Texts that a shell lists


def paths_of(*arguments: object) -> list[str]:
    result = run("train", "quickstart", "--print-config", *arguments)
    assert result.exit_code == 0, result.output
    return [Path(path).name for path in yaml.safe_load(result.stdout)["corpus"]["paths"]]


def test_unquoted_glob_gives_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glob that the shell expands gives all its files.

    `--text *.txt` reaches charlm as `--text a.txt b.txt c.txt`.
    """
    monkeypatch.chdir(tmp_path)
    names = ["a.txt", "b.txt", "c.txt", "d"]
    for name in names:
        Path(name).write_text("Some text of a few words.\n" * 20, "utf-8")
    Path("mine.yaml").write_text("model: {hidden_size: 8}\n", "utf-8")
    assert paths_of("--text", *names) == names
    assert paths_of(*names[:3], "--budget", "3m") == names[:3]
    assert paths_of("--text", *names[:2], "--text", "d", "c.txt") == [
        "a.txt",
        "b.txt",
        "d",
        "c.txt",
    ]
    refused(
        run("train", "quickstart", "--text", "a.txt", "missing.txt", "--print-config"),
        "missing.txt",
    )


def test_eval_tells_texts_from_checkpoint(small_run: Path, tmp_path: Path) -> None:
    """`eval --text` takes a list of files and recognises the checkpoint before or after it."""
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file in files:
        file.write_text(TEXT[:300], "utf-8")
    one, other = (["--text", file] for file in files)
    twice = run("eval", small_run, *one, *other, "--json")
    assert twice.exit_code == 0, twice.output
    unnamed = tmp_path / "checkpoint"
    shutil.copy(RunFolder(small_run).best, unnamed)
    for arguments in ([small_run, "--text", *files], ["--text", *files, unnamed]):
        again = json.loads(run("eval", *arguments, "--json").stdout)
        expected = json.loads(twice.stdout)
        for key in ("text", "nats_per_character", "characters"):
            assert again[key] == expected[key]


# Names


def test_no_such_run_names_the_nearest_ones(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every command that takes a run, from a run to its checkpoints and members."""
    monkeypatch.chdir(tmp_path)
    for name in ("novel", "novel-2", "poems", "zzz/member-1", "zzz/member-2"):
        shutil.copytree(small_run, Path("runs") / name)
    for command in (["eval"], ["generate"], ["train", "--resume"]):
        refused(run(*command, "runs/novell"), "did you mean runs/novel")
        refused(run(*command, "novell"), "did you mean runs/novel")
        refused(run(*command, "rums/poems"), "did you mean runs/poems?")
        refused(run(*command, "runs/zzz/member-3"), "runs/zzz/member-")
        refused(run(*command, "runs/xyxyxy"), "the runs in runs are", "runs/novel")
    refused(run("eval", "runs/novel/checkpoints/bset.safetensors"), "checkpoints/best.safetensors")
    refused(run("eval", "runs"), "the runs in runs are", "runs/poems")
    refused(run("train", "--resume", "runs"), "the runs in runs are")
    Path("text.txt").write_text(TEXT, "utf-8")
    for key in ("start_from", "teachers"):
        refused(
            run("train", "quickstart", "--text", "text.txt", f"--set=training.{key}=novl"),
            "runs/novel",
        )
    (tmp_path / "other").mkdir()
    shutil.copytree(small_run, tmp_path / "other" / "tales")
    refused(run("generate", "tale", "--runs", "other"), "did you mean other/tales?")
    refused(run("generate", "--runs", "othr"), "did you mean other?")


def test_other_names_say_what_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("novel.txt").write_text("Words. " * 200, "utf-8")
    Path("mine.yaml").touch()
    refused(run("train", "quikstart", "--print-config"), "did you mean quickstart?")
    refused(run("train", "mine.yml", "--print-config"), "did you mean mine.yaml?")
    refused(run("bench", "--text", "novl.txt"), "did you mean", "novel.txt?")
    refused(run("bench", "--text", "tiny-shakespeare"), "--set corpus.builtin=tiny-shakespeare")
    refused(run("bench", "--set", "corpus.builtin=python-doc"), "did you mean python-docs")
    refused(run("data", "get", "tiny-shakspeare"), "did you mean tiny-shakespeare")


@given(st.text())
@example("nul\0")
@example("x" * 5000)
@example("../" * 30 + "etc")
@settings(deadline=None)
def test_a_hint_is_found_for_any_name(name: str) -> None:
    """It never fails, whatever was typed, and names what is there."""
    hint = did_you_mean_path(Path(name), [Path("tests")])
    assert hint == "" or (hint.startswith("did you mean ") and hint.endswith("?"))


# Starting from an ensemble


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two networks, of which the second has learnt for longer, and n-grams."""
    folder = tmp_path_factory.mktemp("ensemble")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    settings = ["training.steps=8", "ensemble.members=2", "ensemble.ngram_order=2"]
    return charlm.train(
        "quickstart", text=folder / "text.txt", runs=folder, name="run", settings=[*TINY, *settings]
    )


def test_start_from_best_ensemble_network(
    ensemble: Finished, text_file: Path, tmp_path: Path
) -> None:
    """A run can start from an ensemble: it takes the network with the lowest validation loss.

    Its folder or its checkpoint may be named.
    """
    losses = [network.best_loss for network in ensemble.networks]
    assert None not in losses
    best = losses.index(min(loss for loss in losses if loss is not None)) + 1
    expected = read_checkpoint(ensemble.folder.path / f"member-{best}/checkpoints/best.safetensors")
    for name, place in (("a", ensemble.folder.path), ("b", ensemble.folder.best)):
        seen: list[Event] = []
        still = ["learning_rate=1e-30", "warmup_steps=0", "weight_decay=0", "steps=1"]
        started = [f"training.{setting}" for setting in (*still, f"start_from={place}")]
        run_ = train(
            text_file, tmp_path, *started, "model.hidden_size=8", name=name, on_event=seen.append
        )
        weights = read_checkpoint(run_.last).weights
        assert weights.keys() == expected.weights.keys()
        for key, tensor in weights.items():
            torch.testing.assert_close(tensor, expected.weights[key])
        (remark,) = next(event.reasons for event in seen if isinstance(event, Advised))
        assert f"starting from network {best} of 2" in remark
        assert charlm.resume(run_.path, settings=["training.steps=2"]).step == 2


@pytest.mark.parametrize(
    ("losses", "student", "number"),
    [([2.0, 1.0, 3.0], 0.3, 2), ([1.0, 2.0, 3.0], 0.3, 1), (None, 0.3, 3), (None, 0.0, 1),
     ([1.0], 0.3, 3), (["x", 1.0, 2.0], 0.3, 3), ([float("nan"), 1.0, 2.0], 0.0, 1)],
)  # fmt: skip
def test_start_from_lowest_recorded_loss(
    losses: Any, student: float, number: int, tmp_path: Path
) -> None:
    """The network to start from is the one with the lowest recorded loss.

    Without losses that can be trusted it is the student, else the first.
    """
    vocabulary = Vocabulary((97, 98, 99))
    size = ModelConfig(hidden_size=4, embedding_size=3)
    networks = [LanguageModel(size, len(vocabulary)) for _ in range(3)]
    for seed, network in enumerate(networks):
        network.initialize(torch.Generator().manual_seed(seed))
    config = Config(model=size, ensemble=EnsembleConfig(members=3 - (student > 0), student=student))
    whole = Ensemble(networks, 0, np.zeros(3, np.uint8))
    counters = {NETWORK_LOSSES: losses}
    path = tmp_path / "ensemble.safetensors"
    write_checkpoint(
        path, Checkpoint(config, vocabulary, "0" * 32, whole.tensors(), training_counters=counters)
    )
    alone, remark = read_start(str(path))
    assert f"network {number} of 3" in remark
    weights = networks[number - 1].state_dict()
    assert all(torch.equal(weights[key], tensor) for key, tensor in alone.weights.items())
    assert isinstance(alone.make_model(), LanguageModel)
