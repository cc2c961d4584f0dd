"""What goes wrong around a run: signals, other processes, sizes, devices, extreme settings."""

import errno
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import SMALL, quickstart_on, refused, run, train
from support.generation import make_predictor, text_of
from support.texts import TEXT
from support.training import PowerLossError, assert_same_state, lines
from support.training import train as train_here

import charlm
from charlm import signals as interrupt
from charlm.cli.clearing import clear_cache
from charlm.config.load import load_config
from charlm.config.schema import Config, CorpusConfig, TrainingConfig
from charlm.corpus.batch_iterator import Position
from charlm.corpus.batches import SequentialBatches
from charlm.corpus.builder import build_corpus
from charlm.errors import ConfigError, CorpusError, DivergenceError, RunError
from charlm.models.device import choose_device
from charlm.prediction.next_character import choose
from charlm.prediction.perplexity import Score
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.creation import create_run_folder
from charlm.runs.folder import RunFolder
from charlm.training import final_result, validation
from charlm.training.events import (
    Advised,
    Event,
    NetworkBegins,
    Sampled,
    Saved,
    Started,
    Stepped,
    StopRequested,
    Validated,
)


def resumed_step(run: RunFolder) -> int:
    step: int = read_checkpoint(run.last).training_counters["trainer"]["step"]
    return step


def when(kind: type, action: Any) -> Any:
    """Return an observer that acts on the first event of a kind."""
    seen: list[Event] = []

    def on_event(event: Event) -> None:
        if isinstance(event, kind) and not seen:
            seen.append(event)
            action()

    return on_event


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("moment", [Stepped, Validated, Sampled])
def test_ctrl_c_saves_and_resumes_exactly(text_file: Path, tmp_path: Path, moment: type) -> None:
    """Ctrl-C at any moment saves; the resumed run equals an uninterrupted one."""
    settings = ["training.steps=12", "training.validate_every=5", "training.save_every=null"]
    whole = train_here(text_file, tmp_path, *settings, name="whole")
    interrupt = when(moment, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train_here(text_file, tmp_path, *settings, name="stopped", on_event=interrupt)
    stopped = RunFolder(tmp_path / "stopped")
    assert 0 < resumed_step(stopped) < 12
    charlm.resume(stopped.path)
    assert lines(stopped) == lines(whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("way", [signal.Signals.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_end_request_during_the_final_score(
    way: signal.Signals, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request to end while the end is scored works as Ctrl-C does."""
    monkeypatch.setattr(final_result, "final_score", lambda *_: os.kill(os.getpid(), way))
    result = run(
        *quickstart_on(text_file, tmp_path),
        "--set=training.steps=2",
        *SMALL,
    )
    assert result.exit_code == 130
    assert signal.getsignal(way) == signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("trains", [False, True])
def test_end_request_is_obeyed_once(trains: bool) -> None:
    """Schedulers send two requests; the second does not disturb how the first is obeyed."""
    tidied = False
    with pytest.raises(KeyboardInterrupt), interrupt.end_on_request():
        try:
            if trains:
                with interrupt.stop_on_interrupt(lambda: None) as stop:
                    os.kill(os.getpid(), signal.SIGTERM)
                    assert stop.requested
                    raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            tidied = True
    assert tidied
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_what_nohup_ignores_stays_ignored() -> None:
    """A signal that is ignored when charlm starts stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupt.end_on_request(), interrupt.stop_on_interrupt(lambda: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


TWELVE_STEPS = ["training.steps=12", "training.validate_every=7", "training.save_every=5"]


@pytest.fixture(scope="module")
def twelve_steps(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("twelve")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train_here(folder / "text.txt", folder, *TWELVE_STEPS, name="whole")


@pytest.mark.parametrize(
    "error",
    [BrokenPipeError(), OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "bad"), KeyError("bug")],
    ids=repr,
)
@pytest.mark.parametrize("kind", [Stepped, Validated, Sampled])
def test_a_failing_receiver_loses_no_step(
    kind: type[Event],
    error: Exception,
    text_file: Path,
    tmp_path: Path,
    twelve_steps: RunFolder,
) -> None:
    """An error in the receiver of the events ends training after everything is saved.

    Resuming then equals never having stopped: the step has its validation and its sample.
    """

    def fail(event: Event) -> None:
        step = event.step if isinstance(event, Validated | Sampled) else 0
        step = event.step.step if isinstance(event, Stepped) else step
        if isinstance(event, kind) and step == 7:
            raise error

    with pytest.raises(type(error)) as raised:
        train_here(text_file, tmp_path, *TWELVE_STEPS, name="run", on_event=fail)
    assert raised.value is error
    run = RunFolder(tmp_path / "run")
    assert resumed_step(run) == 7
    charlm.resume(run.path)
    assert_same_state(run.last, twelve_steps.last)
    assert lines(run) == lines(twelve_steps)
    assert run.samples.read_bytes() == twelve_steps.samples.read_bytes()


@pytest.mark.parametrize("kind", [NetworkBegins, Started, Advised, Saved])
@pytest.mark.parametrize("members", [1, 2])
def test_a_reader_that_leaves_early(
    members: int, kind: type[Event], text_file: Path, tmp_path: Path
) -> None:
    """A reader of the events that leaves before the first step leaves no run folder.

    A receiver with a bug leaves a folder to resume.
    """
    if (members, kind) == (1, NetworkBegins):
        kind = Started
    settings = ["training.budget=20s", "training.steps=2", f"ensemble.members={members}"]
    for error in (BrokenPipeError(), KeyError("bug")):

        def fail(event: Event, error: Exception = error) -> None:
            if isinstance(event, kind):
                raise error

        runs = tmp_path / "runs"
        with pytest.raises(type(error)):
            train_here(text_file, runs, *settings, name="run", on_event=fail)
        left = [path.name for path in runs.iterdir()]
        assert left == ([] if isinstance(error, BrokenPipeError) else ["run"])
    assert charlm.resume(runs / "run").step > 0


def test_a_failing_signal_handler_is_no_harm(text_file: Path, tmp_path: Path) -> None:
    """A receiver that fails on a request to stop fails between two steps, not within one."""

    def fail(event: Event) -> None:
        if isinstance(event, Stepped) and event.step.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        if isinstance(event, StopRequested):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        train_here(text_file, tmp_path, "training.steps=12", name="run", on_event=fail)
    assert resumed_step(RunFolder(tmp_path / "run")) == 7


def test_crash_before_the_first_save(text_file: Path, tmp_path: Path) -> None:
    """A run that crashed before its first save can be resumed."""

    def die(event: Event) -> None:
        if isinstance(event, Stepped):
            raise PowerLossError

    settings = ["training.steps=6", "training.save_every=null"]
    with pytest.raises(PowerLossError):
        train_here(text_file, tmp_path, *settings, name="run", on_event=die)
    assert charlm.resume(tmp_path / "run").step == 6
    whole = train_here(text_file, tmp_path, *settings, name="whole")
    assert lines(RunFolder(tmp_path / "run")) == lines(whole)


@pytest.mark.parametrize("fine_tunes", [False, True])
def test_crash_while_starting(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fine_tunes: bool
) -> None:
    """A run that crashed while it started is started again on resuming."""
    base = train_here(text_file, tmp_path, "training.steps=2", "model.hidden_size=24")
    settings = ["training.steps=3"]
    if fine_tunes:
        settings.append(f"training.start_from={base.path}")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_last", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_here(text_file, tmp_path, *settings, name="run")
    with pytest.raises(RunError, match=r"training\.seed"):
        charlm.resume(tmp_path / "run", settings=["training.seed=5"])
    assert charlm.resume(tmp_path / "run").step == 3
    whole = train_here(text_file, tmp_path, *settings, name="whole")
    assert lines(RunFolder(tmp_path / "run")) == lines(whole)


def test_failed_creation_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder that could not be created does not exist."""
    runs = tmp_path / "runs"

    def fail(folder: Path) -> None:
        if folder == runs:
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("charlm.runs.creation.sync_folder", fail)
        with pytest.raises(RunError, match=r"could not be created .*Input"):
            create_run_folder(runs, "mine", "stem", Config())
    assert list(runs.iterdir()) == []
    assert create_run_folder(runs, "mine", "stem", Config()).config_file.exists()
    assert [folder.name for folder in runs.iterdir()] == ["mine"]


@pytest.mark.parametrize("damage", [b"", b"\xff", b"mine", b"mine" + bytes(1 << 21)])
def test_damaged_launch_file(tmp_path: Path, damage: bytes) -> None:
    """A damaged launch file does not match this launch."""
    made = create_run_folder(tmp_path, "mine", "stem", Config(), launch="mine")
    assert made.was_made_by("mine") and not made.was_made_by("yours")
    made.launch.write_bytes(damage)
    if len(damage) > 1 << 20:
        with pytest.raises(RunError, match=r"\.launch: could not be read"):
            made.was_made_by("mine")
    else:
        assert made.was_made_by("mine") == (damage == b"mine")


def test_crash_within_the_first_save(text_file: Path, tmp_path: Path) -> None:
    """A run that crashed between the two files of its first save starts again."""
    settings = ["training.steps=3", "training.keep_checkpoints=2"]
    whole = train_here(text_file, tmp_path, *settings, name="whole")
    broken = train_here(text_file, tmp_path, *settings, name="run")
    for path in broken.checkpoints.iterdir():
        if path != broken.numbered(0):
            path.unlink()
    assert broken.numbered(0).exists()
    assert charlm.resume(broken.path).step == 3
    assert lines(broken) == lines(whole)
    broken.last.unlink()
    with pytest.raises(RunError, match="other checkpoints exist"):
        charlm.resume(broken.path)


def test_folder_is_locked(text_file: Path, tmp_path: Path) -> None:
    """Two processes do not train in one run folder."""
    run = train_here(text_file, tmp_path, "training.steps=2", name="run")
    with run.locked(), pytest.raises(RunError, match="another process"):
        charlm.resume(run.path)
    assert charlm.resume(run.path, settings=["training.steps=3"]).step == 3


@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_lost_config_file(text_file: Path, tmp_path: Path, damage: str) -> None:
    """A run without its config file is resumed from its checkpoint."""
    run = train_here(text_file, tmp_path, "training.steps=2", name="run")
    run.config_file.unlink()
    if damage == "empty":
        run.config_file.touch()
    assert charlm.resume(run.path).step == 2
    assert load_config(run.config_file) == read_checkpoint(run.last).config


def test_checkpoint_without_training_state(text_file: Path, tmp_path: Path) -> None:
    """A checkpoint without training state is not resumed."""
    run = train_here(text_file, tmp_path, "training.steps=2")
    run.last.write_bytes(run.best.read_bytes())
    with pytest.raises(RunError, match="no training state"):
        charlm.resume(run.path)


def test_validation_that_is_not_finite(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation loss that is not finite ends the run and is never the best."""
    monkeypatch.setattr(validation, "evaluate_split", lambda *_: Score(math.nan, 1, 1, 0))
    with pytest.raises(DivergenceError, match=r"step 3: the validation loss is nan.*last"):
        train_here(text_file, tmp_path, "training.steps=3", name="run")
    assert not RunFolder(tmp_path / "run").best.exists()


@pytest.mark.parametrize("nats", [1e6, math.inf, math.nan])
def test_json_of_scores_that_are_not_finite(nats: float) -> None:
    """A score that is not finite is null in JSON."""
    score = Score(nats=nats, characters=1, bytes=1, unknown_characters=0)
    as_json = json.loads(json.dumps(score.to_json(), allow_nan=False))
    assert as_json["perplexity"] is None
    assert (as_json["nats_per_character"] is None) == (not math.isfinite(nats))
    assert as_json["characters"] == 1


def test_clearing_keeps_foreign_files(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clearing the cache leaves files that charlm did not write."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "disk"))
    build_corpus(CorpusConfig(paths=(str(text_file),)))
    mine = tmp_path / "disk" / "thesis.tex"
    mine.write_text("years of work", "utf-8")
    assert clear_cache() > 0
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("newlines", "golden"),
    [
        ("keep", "c3353c8d618f2f97b58a7cf9a8b1cc3d"),
        ("auto", "9de36f5ad3fce562348026b374cb441b"),
    ],
)
def test_fingerprints_are_stable(newlines: str, golden: str, tmp_path: Path) -> None:
    """Fingerprints do not change between versions, so that no run finds its text changed."""
    path = tmp_path / "text.txt"
    path.write_bytes(b"a text that stays as it is, character by character\n" * 3)
    config = CorpusConfig.model_validate({"paths": (str(path),), "newlines": newlines})
    assert build_corpus(config).fingerprint == golden


def test_empty_vocabulary_is_refused(text_file: Path) -> None:
    """A vocabulary without characters is refused."""
    config = CorpusConfig(paths=(str(text_file),), minimum_count=10**6)
    with pytest.raises(CorpusError, match=r"corpus\.minimum_count"):
        build_corpus(config)


def test_empty_text_path(tmp_path: Path) -> None:
    """An empty path, such as of an unset variable, is not the current folder."""
    refused(run("train", "quickstart", "--text", "", "--runs", tmp_path, *SMALL), "--text is empty")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_missing_device_is_one_line(tmp_path: Path) -> None:
    """A device that is not there is an error of one line."""
    with pytest.raises(ConfigError, match="auto"):
        choose_device("cuda")
    refused(run("train", "--set=training.device=cuda", "--runs", tmp_path, *SMALL), "auto")


def test_extreme_seeds(text_file: Path, tmp_path: Path) -> None:
    """The smallest and the largest seed work."""
    train_here(text_file, tmp_path, "training.steps=2", f"training.seed={2**62 - 1}")
    with pytest.raises(ConfigError, match=r"training\.seed"):
        train_here(text_file, tmp_path, f"training.seed={2**62}")
    assert text_of(make_predictor(), "a", seed=10**30) == text_of(
        make_predictor(), "a", seed=10**30 % 2**63
    )


def test_extreme_settings(text_file: Path, tmp_path: Path) -> None:
    """Settings at the ends of their ranges work."""
    with pytest.raises(ConfigError, match="betas"):
        train_here(text_file, tmp_path, "training.betas=[1.0, 0.9]")
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    config = Config().generation.model_copy(update={"temperature": 1e-320})
    assert choose(logits, config, torch.tensor([0.5]).double()).tolist() == [1]


def test_too_large_model_is_one_line(text_file: Path, tmp_path: Path) -> None:
    """A model that does not fit in memory is an error of one line."""
    with pytest.raises(ConfigError, match=r"not enough memory.*model\.hidden_size"):
        train_here(text_file, tmp_path, "model.hidden_size=10000000")


def test_reset_probability() -> None:
    """States are reset with the probability in the config; the seed decides when."""
    ids = np.zeros(40_001, np.uint8)

    def fresh(seed: int) -> list[bool]:
        batches = SequentialBatches(ids, 4, 5, seed, reset_probability=0.2)
        return [not next(batches).continues for _ in range(1900)]

    first = fresh(0)
    assert 0.15 < np.mean(first) < 0.25
    assert fresh(0) == first
    assert fresh(1) != first
    resumed = SequentialBatches(ids, 4, 5, 0, reset_probability=0.2)
    resumed.restore(Position(0, 1000))
    assert [not next(resumed).continues for _ in range(900)] == first[1000:]


def test_error_of_a_name_that_is_no_name(text_file: Path) -> None:
    for name in ("../elsewhere", "", "a/b"):
        refused(run("train", "quickstart", "--text", text_file, "--name", name, *SMALL), "--name")


def test_set_text_replaces_the_configs() -> None:
    """A text in the settings replaces that of the config."""
    corpus = load_config("quickstart", ["corpus.paths=novel.txt"]).corpus
    assert corpus.builtin is None
    assert TrainingConfig().epochs == 10


def test_prefix_is_read_as_the_corpus(text_file: Path, tmp_path: Path) -> None:
    """The prefix is normalised as the corpus was."""
    run_ = train_here(text_file, tmp_path, "training.steps=2", "corpus.newlines=space")
    predictor = charlm.load(run_.path)
    texts = [
        "".join(charlm.generate(predictor, f"The rain{newline}had", seed=1))
        for newline in (" ", "\n", "\r\n")
    ]
    assert len(set(texts)) == 1


def test_long_prefix_in_pieces() -> None:
    """A long prefix conditions alike as a whole and in pieces."""
    predictor = make_predictor()
    prefix = "abcdefgh" * 400
    from charlm.prediction import generated_ids

    whole = text_of(predictor, prefix, greedy=True)
    before, generated_ids._PREFIX_PIECE = generated_ids._PREFIX_PIECE, 7
    try:
        assert text_of(predictor, prefix, greedy=True) == whole
    finally:
        generated_ids._PREFIX_PIECE = before


def test_resume_refuses_other_options(text_file: Path, tmp_path: Path) -> None:
    """--resume is refused with the options of a new run."""
    folder = train(text_file, tmp_path)
    for option in (["tiny-shakespeare"], ["--name", "other"], ["--print-config"]):
        refused(run("train", "--resume", folder, *option), "--resume")
    done = run("train", "--resume", folder)
    assert done.exit_code == 0
    assert "finished at its limit of " in done.stderr
