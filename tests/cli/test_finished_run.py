"""`--resume` with a finished run: the limit it reached, a lower one, and a stop before a step."""

from pathlib import Path

import pytest
from support.commands import SMALL, quickstart_on, refused, run, train

from charlm.cli.next_commands import finished_limit
from charlm.config.schema import TrainingConfig
from charlm.runs.folder import RunFolder
from charlm.training import mixing, network_run

ENSEMBLE = ("--set=ensemble.members=2", "--set=training.steps=2", "--name=book")


@pytest.mark.parametrize(
    ("limits", "whole", "line"),
    [
        ({"budget": 40}, None, "budget of 40s; extend it with --budget 1m20s"),
        ({"budget": 20}, 40.0, "budget of 40s; extend it with --budget 1m20s"),
        ({"budget": 40, "steps": 9}, None, "limit of 9 steps; extend it with --set training.steps"),
        ({"epochs": 3}, None, "limit of 3 epochs; extend it with --set training.epochs=6"),
    ],
)
def test_reached_limit_is_named(limits: dict[str, float], whole: float | None, line: str) -> None:
    """The line names the limit that was reached and its value; an ensemble's for its members."""
    training = TrainingConfig.model_validate({"epochs": None, "steps": None, **limits})
    assert f"finished at its {line}" in finished_limit(training, 3.0, 9, whole)


@pytest.mark.parametrize("ensemble", [(), ("--set=ensemble.members=2",)])
@pytest.mark.parametrize("limit", ["steps=3", "epochs=0.001"])
def test_lower_limit_is_not_written(
    limit: str, ensemble: tuple[str, ...], text_file: Path, tmp_path: Path
) -> None:
    """A limit below what is trained is refused with one that continues the run, as it was."""
    folder = train(text_file, tmp_path, *ensemble)
    before = RunFolder(folder).read_config()
    name, _, value = limit.partition("=")
    words = ("has already trained for", f"training.{name} is {value};", "to continue it")
    result = run("train", "--resume", folder, f"--set=training.{limit}")
    refused(result, *words)
    assert RunFolder(folder).read_config() == before
    assert run("train", "--resume", folder, "--set=training.steps=4").exit_code == 0
    longer = result.stderr.rpartition("raise the limit: ")[2].split()
    assert run("train", "--resume", folder, *longer, "--set=training.steps=5").exit_code == 0


def test_stop_before_training_is_no_save(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed ensemble that is stopped before a step says that the last checkpoint remains."""
    done = run(*quickstart_on(text_file, tmp_path), *SMALL, *ENSEMBLE)
    assert done.exit_code == 0, done.output

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(network_run, "resume_network", interrupt)
    stopped = run("train", "--resume", tmp_path / "book", "--set=training.steps=9")
    assert "stopped and saved" not in stopped.stderr
    assert "stopped; resume from the last checkpoint with" in stopped.stderr


def test_a_run_without_a_step_says_so(text_file: Path, tmp_path: Path) -> None:
    """A budget that the start takes gives a result, and a note that nothing was trained."""
    small = [word for word in SMALL if "budget" not in word]
    done = run(*quickstart_on(text_file, tmp_path), *small, "--budget=0.001s")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any(line.startswith("trained 0 steps, ") for line in lines)
    assert (
        "note no training step: the budget ended before the first; use a larger --budget" in lines
    )
    one_step = run(*quickstart_on(text_file, tmp_path), *SMALL, "--steps=1")
    assert one_step.exit_code == 0, one_step.output
    assert "no training step" not in one_step.stdout


def test_mixing_again_names_no_limit(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the mixture is missing, a line says so; once it is there, the limit is named."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mixing, "fit_mixture", interrupt)
        stopped = run(*quickstart_on(text_file, tmp_path), *SMALL, *ENSEMBLE)
    assert stopped.exit_code == 130
    resumed, again = (run("train", "--resume", tmp_path / "book").stderr for _ in range(2))
    assert resumed.count("the networks are finished; building the ensemble") == 1
    assert "finished at its" not in resumed
    assert again.count("finished at its limit of 2 steps") == 1
    assert "the networks are finished" not in again
