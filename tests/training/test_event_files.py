"""Event files: TensorBoard's own reader finds each step once, whatever happened to the run."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from support.divergence import NOT_A_NUMBER
from support.training import PowerLossError, crash_at, train

import charlm
from charlm.errors import ConfigError
from charlm.runs.folder import RunFolder
from charlm.runs.run import Run

HAS_WRITER = importlib.util.find_spec("tensorboardX") is not None
HAS_READER = importlib.util.find_spec("tensorboard") is not None
LOGGED = "training.log_to=[tensorboard]"

needs_both = pytest.mark.skipif(
    not (HAS_WRITER and HAS_READER), reason="tensorboard or tensorboardX is not installed"
)


def accumulated(run: Path) -> Any:
    """Read the event files of a run as TensorBoard does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    return reader.Reload()


def assert_equal_to_the_log(run: Path) -> None:
    """Assert that TensorBoard finds each training line and validation of the log, once."""
    reader, lines = accumulated(run), Run(run).metrics()
    for tag, key in (("loss/training", "loss"), ("loss/validation", "validation_loss")):
        found = [(one.step, one.value) for one in reader.Scalars(tag)]
        expected = [(line["step"], line[key]) for line in lines if key in line]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([loss for _, loss in expected])


@needs_both
def test_tensorboard_reads_scalars_and_samples(text_file: Path, tmp_path: Path) -> None:
    settings = ["training.steps=12", "training.validate_every=4"]
    run = train(text_file, tmp_path, LOGGED, *settings).path
    assert_equal_to_the_log(run)
    reader = accumulated(run)
    assert {"learning_rate", "gradient_norm", "epoch"} <= {*reader.Tags()["scalars"]}
    (tag,) = reader.Tags()["tensors"]
    samples = [(one.step, one.tensor_proto.string_val[0].decode()) for one in reader.Tensors(tag)]
    expected = [
        (one.step, "\n".join(f"    {line}" for line in one.text.split("\n")))
        for one in Run(run).samples()
    ]
    assert samples == expected


@needs_both
def test_the_curve_of_a_resumed_run_is_one(text_file: Path, tmp_path: Path) -> None:
    """Steps that a killed process took after its last save are taken again, and shown once."""
    settings = ["training.steps=20", "training.save_every=8", "training.validate_every=5"]
    with pytest.raises(PowerLossError):
        train(text_file, tmp_path, LOGGED, *settings, name="one", on_event=crash_at(13))
    charlm.resume(tmp_path / "one")
    assert len([*(tmp_path / "one" / "tensorboard").iterdir()]) == 2
    assert_equal_to_the_log(tmp_path / "one")


@needs_both
def test_the_curve_after_a_roll_back_is_one(text_file: Path, tmp_path: Path) -> None:
    settings = [*NOT_A_NUMBER, "training.max_rollbacks=9", "training.validate_every=10"]
    run = train(text_file, tmp_path, LOGGED, *settings).path
    assert any(line.get("event") == "rollback" for line in Run(run).metrics())
    assert_equal_to_the_log(run)


@needs_both
def test_each_member_has_its_event_files(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, LOGGED, "ensemble.members=2", "training.steps=6").path
    for number in (1, 2):
        assert_equal_to_the_log(run / f"member-{number}")


@needs_both
def test_event_files_change_no_training(text_file: Path, tmp_path: Path) -> None:
    from support.training import assert_same_weights

    one = train(text_file, tmp_path, "training.steps=4", name="one")
    other = train(text_file, tmp_path, LOGGED, "training.steps=4", name="other")
    assert_same_weights(one.last, other.last)


@pytest.mark.parametrize("is_ensemble", [False, True])
def test_a_missing_writer_names_its_extra(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_ensemble: bool
) -> None:
    """The error comes before a run folder is made."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    settings = [LOGGED, "training.steps=2", *(["ensemble.members=2"] if is_ensemble else [])]
    with pytest.raises(ConfigError, match=r"charlm-rnn\[tensorboard\]"):
        train(text_file, tmp_path / "runs", *settings)
    assert not (tmp_path / "runs").exists()


@needs_both
def test_a_run_without_steps_has_no_event_files(text_file: Path, tmp_path: Path) -> None:
    """So charlm can discard its folder."""

    def stop(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(text_file, tmp_path, LOGGED, "training.steps=2", name="one", on_event=stop)
    assert not RunFolder(tmp_path / "one").path.exists()
