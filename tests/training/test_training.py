"""Training: a resumed run equals the uninterrupted one; limits, schedules and single steps."""

import json
import math
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training import (
    TINY,
    PowerLossError,
    assert_same_weights,
    crash_at,
    lines,
    losses,
    train,
    weights,
)

import charlm
from charlm.config.load import load_config
from charlm.config.schema import BatchesConfig, Config, ModelConfig, TrainingConfig
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.batches import make_batches
from charlm.errors import CharlmError, CorpusError, DivergenceError, RunError
from charlm.files.atomic import write_whole
from charlm.kernels import compiler
from charlm.kernels.compute import Compute
from charlm.models.dropout import Masks
from charlm.models.language_model import LanguageModel
from charlm.runs import checkpoint as checkpoint_module
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import calibration, start, state
from charlm.training.events import Validated
from charlm.training.optimizer import clip_gradients, learning_rate
from charlm.training.trainer import Trainer

RESUMABLE = [
    ("sequential", "adamw", "lstm", 0.3, 0.99),
    ("random", "adamw", "gru", 0.3, 0.0),
    ("sequential", "sgd", "rnn", 0.0, 0.0),
    ("random", "sgd", "lstm", 0.2, 0.9),
    ("sequential", "adamw", "mogrifier", 0.2, 0.0),
]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("sampling", "optimizer", "cell", "dropout", "average"), RESUMABLE)
def test_resumed_equals_uninterrupted(
    text_file: Path,
    tmp_path: Path,
    sampling: str,
    optimizer: str,
    cell: str,
    dropout: float,
    average: float,
    precision: str,
) -> None:
    """A run that crashes twice and is resumed ends bit for bit as the uninterrupted one."""
    settings = [
        f"training.precision={precision}",
        f"batches.sampling={sampling}",
        f"training.optimizer={optimizer}",
        "training.momentum=0.9",
        f"model.cell={cell}",
        f"model.dropout={dropout}",
        f"training.average={average}",
        "model.num_layers=2",
        "batches.batch_size=24",
        "training.steps=28",  # more than two epochs of about 12 steps
        "training.validate_every=10",
        "training.save_every=6",
    ]
    whole = train(text_file, tmp_path, *settings, name="whole")
    for crash in (10, 21):  # between saves: steps are repeated
        with pytest.raises(PowerLossError):
            if crash == 10:
                train(text_file, tmp_path, *settings, name="broken", on_event=crash_at(crash))
            else:
                charlm.resume(tmp_path / "broken", on_event=crash_at(crash))
    charlm.resume(tmp_path / "broken")
    broken = RunFolder(tmp_path / "broken")

    assert lines(broken) == lines(whole)
    assert broken.samples.read_bytes() == whole.samples.read_bytes()
    assert_same_weights(broken.last, whole.last)
    assert_same_weights(broken.best, whole.best)
    mine, theirs = (read_checkpoint(run.last).training_tensors for run in (broken, whole))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_observing_changes_no_loss(text_file: Path, tmp_path: Path) -> None:
    """How often a run validates, samples, saves and logs changes no training loss."""
    steps = ["training.steps=40", "model.dropout=0.3"]
    seldom = train(text_file, tmp_path, *steps, "training.validate_every=null")
    often = train(
        text_file,
        tmp_path,
        *steps,
        "training.validate_every=3",
        "training.save_every=2",
        "training.keep_checkpoints=3",
        "generation.length=7",
    )
    assert losses(seldom) == losses(often)
    assert_same_weights(seldom.last, often.last)


def test_averages_predict_and_change_no_loss(text_file: Path, tmp_path: Path) -> None:
    """Averages are the weights to predict with, and training does not depend on them."""
    steps = ["training.steps=60", "training.schedule=constant", "training.learning_rate=0.03"]
    plain = train(text_file, tmp_path, *steps)
    run = train(text_file, tmp_path, *steps, "training.average=0.9")
    assert losses(run) == losses(plain)
    tensors = read_checkpoint(run.last).training_tensors
    for name, tensor in weights(plain.last).items():
        assert torch.equal(tensors[f"weights.{name}"], tensor)
    scores = [line["validation_loss"] for line in lines(run) if "validation_loss" in line]
    for path in (run.last, run.best):
        score = charlm.evaluate(charlm.load(path), split="validation").nats_per_character
        assert score == pytest.approx(min(scores), rel=1e-4)
        assert not torch.equal(weights(path)["b_q"], weights(plain.last)["b_q"])


def test_average_without_held_out_text(text_file: Path, tmp_path: Path) -> None:
    """A run without held-out text samples with the average and gives it to fine-tuning."""
    settings = ["training.steps=9", "corpus.split=[1, 0, 0]", "training.average=0.9"]
    finished = charlm.train(
        "quickstart", text=text_file, runs=tmp_path, settings=[*TINY, *settings]
    )
    samples = finished.folder.samples.read_text("utf-8")
    assert finished.sample in samples, "the same weights wrote both"
    tuned = train(
        text_file,
        tmp_path,
        f"training.start_from={finished.folder.path}",
        "training.steps=1",
        "training.learning_rate=1e-9",
        "training.average=0.9",
    )
    for name, tensor in weights(tuned.last).items():
        assert torch.allclose(tensor, weights(finished.folder.last)[name], atol=1e-6)


def test_seed_decides_and_nothing_global(text_file: Path, tmp_path: Path) -> None:
    """The losses depend on the seed of the config, not on the global random state."""
    settings = ["training.steps=12", "model.dropout=0.3"]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(text_file, tmp_path, *settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = train(text_file, tmp_path, *settings)
    other = train(text_file, tmp_path, *settings, "training.seed=1")
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)


def test_golden_losses(text_file: Path, tmp_path: Path) -> None:
    """A change of these figures is a change of the mathematics: explain it or revert it."""
    run = train(text_file, tmp_path, "training.steps=30")
    assert losses(run)[0] == pytest.approx(2.86516, abs=1e-4)
    assert losses(run)[-1] == pytest.approx(2.92077, abs=2e-3)


def test_both_precisions_learn_alike(text_file: Path, tmp_path: Path) -> None:
    settings = ("training.steps=60", "model.hidden_size=48")
    single, half = (
        losses(train(text_file, tmp_path, *settings, f"training.precision={precision}"))
        for precision in ("float32", "bfloat16")
    )
    assert single != half or compiler.library() is None
    assert half == pytest.approx(single, abs=0.05)


def test_auto_choices_are_recorded(text_file: Path, tmp_path: Path) -> None:
    """The checkpoints and environment.json say what `auto` chose; the config still says `auto`."""
    run = train(text_file, tmp_path, "training.steps=2", "training.precision=auto")
    (entry,) = json.loads(run.environment.read_text("utf-8"))
    for path in (run.last, run.best):
        checkpoint = read_checkpoint(path)
        assert checkpoint.compute == Compute(entry["precision"], entry["threads"])
        assert checkpoint.config == load_config(run.config_file)
        assert checkpoint.config.training.precision == checkpoint.config.training.threads == "auto"


@pytest.mark.parametrize(
    ("before", "after", "expected", "with_equations"),
    [
        ("auto", None, 4, 2),
        ("auto", 3, 3, 3),
        (2, None, 2, 2),
        (2, 3, 3, 3),
        (2, "auto", 4, 4),
    ],
)
@pytest.mark.parametrize("implementation", ["fused", "equations"])
def test_resumed_runs_keep_what_computes(
    before: str | int,
    after: str | int | None,
    expected: int,
    with_equations: int,
    implementation: str,
    text_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resumed run keeps its precision; its threads too, if bits depend on them or it is told."""
    if implementation == "equations" or compiler.library() is None:
        expected = with_equations
    how = [
        *("training.precision=auto", f"training.threads={before}"),
        f"model.implementation={implementation}",
    ]
    text_file.write_text(text_file.read_text("utf-8")[:1500], "utf-8")
    monkeypatch.setattr(calibration, "_may_measure", lambda config: True)
    monkeypatch.setattr(calibration, "measured_precision", lambda: "float32")
    monkeypatch.setattr(calibration, "most_threads", lambda wanted: 2)
    monkeypatch.setattr(state, "most_threads", lambda wanted: 1)  # what is recorded is the maximum
    run = train(text_file, tmp_path, "training.steps=2", *how)
    monkeypatch.setattr(calibration, "measured_precision", lambda: "bfloat16")
    monkeypatch.setattr(calibration, "most_threads", lambda wanted: 4)
    changes = [] if after is None else [f"training.threads={after}"]
    charlm.resume(run.path, settings=["training.steps=4", *changes])
    assert read_checkpoint(run.last).compute == Compute("float32", expected)
    charlm.resume(run.path, settings=["training.precision=float32"])
    with pytest.raises(RunError, match=r"training\.precision was .* and is bfloat16"):
        charlm.resume(run.path, settings=["training.precision=bfloat16"])


def test_metrics_have_the_promised_keys(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, "training.steps=80", "training.validate_every=40")
    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    common = {"step", "epoch", "characters", "seconds"}
    training = common | {"loss", "gradient_norm", "learning_rate", "characters_per_second"}
    validation = common | {
        "validation_loss",
        "validation_perplexity",
        "validation_bits_per_character",
        "validation_bits_per_byte",
        "validation_unknown_characters",
        "validation_precision",
    }
    kinds = [set(record) - {"epoch_loss"} for record in records]
    assert kinds.count(training) == 80
    assert kinds.count(validation) == 2
    assert len(kinds) == 82
    assert records[9]["characters"] == 10 * 4 * 16
    epoch_end = next(record for record in records if "epoch_loss" in record)
    assert epoch_end["epoch"] == 1.0
    of_epoch = [r for r in records if "loss" in r and r["step"] <= epoch_end["step"]]
    sizes = np.diff([0, *(r["characters"] for r in of_epoch)])
    mean = np.average([r["loss"] for r in of_epoch], weights=sizes)
    assert epoch_end["epoch_loss"] == pytest.approx(mean)
    score = next(record for record in records if "validation_loss" in record)
    assert score["validation_perplexity"] == pytest.approx(math.exp(score["validation_loss"]))
    bits = score["validation_loss"] / math.log(2)
    assert score["validation_bits_per_character"] == pytest.approx(bits)
    assert score["validation_bits_per_byte"] == pytest.approx(bits)  # of ASCII, all of it known


def test_validation_scores_the_whole_split(text_file: Path, tmp_path: Path) -> None:
    seen: list[Validated] = []
    run = train(
        text_file,
        tmp_path,
        "training.steps=5",
        on_event=lambda event: seen.append(event) if isinstance(event, Validated) else None,
    )
    whole = charlm.evaluate(charlm.load(run.path), split="validation")
    assert [event.score.characters for event in seen] == [whole.characters]
    assert seen[0].score.nats == pytest.approx(whole.nats, rel=1e-4)


def test_validation_of_a_long_split(text_file: Path, tmp_path: Path) -> None:
    """Validation scores about `validation_characters` of a longer split."""
    seen: list[Validated] = []
    train(
        text_file,
        tmp_path,
        "training.steps=5",
        "training.validation_characters=120",
        on_event=lambda event: seen.append(event) if isinstance(event, Validated) else None,
    )
    assert 100 <= seen[0].score.characters <= 120


def test_best_and_last_checkpoint(text_file: Path, tmp_path: Path) -> None:
    """The best checkpoint has the lowest validation loss, the last one that of the last step."""
    run = train(
        text_file,
        tmp_path,
        "training.steps=60",
        "training.validate_every=5",
        "training.learning_rate=0.2",
        "training.schedule=constant",
    )
    of_step = {r["step"]: r["validation_loss"] for r in lines(run) if "validation_loss" in r}
    assert charlm.evaluate(charlm.load(run.best), split="validation").nats_per_character == (
        pytest.approx(min(of_step.values()), rel=1e-4)
    )
    assert charlm.evaluate(charlm.load(run.last), split="validation").nats_per_character == (
        pytest.approx(of_step[60], rel=1e-4)
    )


def test_patience_counts_from_the_best(text_file: Path, tmp_path: Path) -> None:
    """A run stops early after `patience` validations without a new best, and stays stopped."""
    run = train(
        text_file,
        tmp_path,
        "training.steps=1000",
        "training.validate_every=2",
        "training.learning_rate=1e-12",
        "training.patience=3",
    )
    scores = [r["validation_loss"] for r in lines(run) if "validation_loss" in r]
    best = scores.index(min(scores))
    assert len(scores) == best + 1 + 3
    finished = charlm.resume(run.path)
    assert finished.step == lines(run)[-1]["step"]


def test_retention_keeps_the_newest(text_file: Path, tmp_path: Path) -> None:
    run = train(
        text_file,
        tmp_path,
        "training.steps=50",
        "training.save_every=10",
        "training.keep_checkpoints=2",
    )
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == [
        "best.safetensors",
        "last.safetensors",
        "step-00000030.safetensors",
        "step-00000040.safetensors",
        "step-00000050.safetensors",
    ]


def test_last_is_used_without_held_out_text(text_file: Path, tmp_path: Path) -> None:
    """A run without held-out text has no best checkpoint; the last one is loaded."""
    run = train(text_file, tmp_path, "training.steps=5", "corpus.split=[1, 0, 0]")
    assert not run.best.exists()
    assert charlm.load(run.path).path == run.last
    with pytest.raises(CorpusError, match="--text"):
        charlm.evaluate(charlm.load(run.path))


def test_what_resuming_may_change(text_file: Path, tmp_path: Path) -> None:
    """Limits may change when a run is resumed; what steps depend on may not."""
    run = train(text_file, tmp_path, "training.steps=6")
    assert charlm.resume(run.path).step == 6  # nothing is left to do
    assert charlm.resume(run.path, settings=["training.steps=9"]).step == 9
    for change in ("model.hidden_size=32", "training.learning_rate=1", "batches.batch_size=2"):
        with pytest.raises(RunError, match=change.split("=")[0]):
            charlm.resume(run.path, settings=[change])
    assert charlm.resume(run.path).step == 9


def test_changed_text_and_moved_text(text_file: Path, tmp_path: Path) -> None:
    """A changed text is refused; a moved one is found under its new path."""
    run = train(text_file, tmp_path, "training.steps=4")
    moved = text_file.rename(tmp_path / "moved.txt")
    with pytest.raises(CorpusError, match="no such file"):
        charlm.resume(run.path, settings=["training.steps=6"])
    finished = charlm.resume(run.path, settings=["training.steps=6"], text=moved)
    assert finished.step == 6
    moved.write_text("another text entirely " * 300, "utf-8")
    with pytest.raises(CorpusError, match="has changed since"):
        charlm.resume(run.path)
    with pytest.raises(CorpusError, match="has changed since"):
        charlm.evaluate(charlm.load(run.path))


def test_fine_tuning_keeps_the_vocabulary(text_file: Path, tmp_path: Path) -> None:
    """Fine-tuning starts from the weights, the shape and the vocabulary of a run."""
    base = train(text_file, tmp_path, "training.steps=30")
    new = tmp_path / "new.txt"
    new.write_text("Niemand sah auf, als die Türen sich öffneten. " * 60, "utf-8")
    tuned = train(
        new,
        tmp_path,
        f"training.start_from={base.path}",
        "training.steps=1",
        "training.learning_rate=1e-9",
        "model.hidden_size=999",  # the checkpoint's shape is taken
    )
    assert charlm.load(tuned.last).vocabulary == charlm.load(base.best).vocabulary
    for name, tensor in weights(tuned.last).items():
        assert torch.allclose(tensor, weights(base.best)[name], atol=1e-6)
    assert charlm.evaluate(charlm.load(tuned.path)).unknown_characters > 0
    assert charlm.resume(tuned.path, settings=["training.steps=3"]).step == 3


def test_existing_run_folder_is_left_alone(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, "training.steps=2", name="mine")
    before = run.last.read_bytes()
    with pytest.raises(RunError, match="exists already"):
        train(text_file, tmp_path, "training.steps=3", name="mine")
    assert run.last.read_bytes() == before


def test_prefix_with_unknown_characters(text_file: Path, tmp_path: Path) -> None:
    """Samples leave out characters of the prefix that the text does not contain."""
    run = train(text_file, tmp_path, "training.steps=2", "generation.prefix=雨The")
    assert run.samples.read_text("utf-8").splitlines()[1].startswith("The")


def test_failed_start_leaves_no_folder(text_file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(CorpusError, match="sequence_length"):
        train(
            text_file, runs, "batches.sampling=random", "batches.sequence_length=90000", name="long"
        )
    assert not runs.exists()


def test_divergence_keeps_the_last_save(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the step; the last checkpoint is from before the divergence."""
    settings = ["training.save_every=2", "training.steps=20", "training.max_rollbacks=0"]
    true_loss = LanguageModel.loss

    def poisoned(self: LanguageModel, *arguments: Any) -> Any:
        loss, state = true_loss(self, *arguments)
        calls.append(1)
        return (loss * math.nan if len(calls) == 8 else loss), state

    calls: list[int] = []
    monkeypatch.setattr(LanguageModel, "loss", poisoned)
    with pytest.raises(DivergenceError, match=r"step 8: the loss is nan.*last\.safetensors"):
        train(text_file, tmp_path, *settings, name="run")
    monkeypatch.undo()
    run = RunFolder(tmp_path / "run")
    assert read_checkpoint(run.last).training_counters["trainer"]["step"] == 6
    assert all(tensor.isfinite().all() for tensor in weights(run.last).values())


@pytest.mark.parametrize("disaster", ["best", "last", "metrics", "samples"])
def test_full_disk_loses_nothing(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disaster: str
) -> None:
    """A full disk is an error in one line; the run is resumed when there is space."""
    run = train(text_file, tmp_path, "training.steps=4")
    before = weights(run.last)
    opened, written = Path.open, write_whole

    def full(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if self.name.startswith(disaster) and mode[0] in "wa":
            raise OSError(28, "No space left on device")
        return opened(self, mode, *arguments, **options)

    def full_for_checkpoints(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name.startswith(disaster):
            raise OSError(28, "No space left on device")
        written(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(checkpoint_module, "write_whole", full_for_checkpoints)
    more = ["training.steps=8", "training.validate_every=1"]
    with pytest.raises(CharlmError, match="No space left on device"):
        charlm.resume(run.path, settings=more)
    monkeypatch.undo()
    is_same = all(torch.equal(before[name], one) for name, one in weights(run.last).items())
    assert is_same == (disaster in ("best", "last"))  # an error of a log loses no step
    # A checkpoint that could not be written has not taken the new settings.
    again = more if disaster == "last" else []
    assert charlm.resume(run.path, settings=again).step == 8


# --- schedule, limits, one step ----------------------------------------------------------------


def test_warm_up_and_schedules() -> None:
    """The rate rises linearly, then follows the curve to its final value."""
    config = TrainingConfig(learning_rate=2.0, warmup_steps=3, final_learning_rate=0.1)
    assert [learning_rate(config, step, 0.0) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    for schedule in ("cosine", "linear"):
        config = TrainingConfig(
            learning_rate=2.0, warmup_steps=0, final_learning_rate=0.1, schedule=schedule
        )
        assert learning_rate(config, 9, 0.0) == pytest.approx(2.0)
        assert learning_rate(config, 9, 0.5) == pytest.approx(1.1)
        assert learning_rate(config, 9, 1.0) == pytest.approx(0.2)
        assert learning_rate(config, 9, 1.5) == pytest.approx(0.2)
    constant = TrainingConfig(learning_rate=2.0, warmup_steps=0, schedule="constant")
    assert learning_rate(constant, 9, 0.7) == 2.0


@settings(deadline=None)  # PyTorch's first call takes longer
@given(st.floats(1e-3, 1e3), st.integers(0, 2**31))
def test_clipping_formula(theta: float, seed: int) -> None:
    """Gradients are scaled by min(θ / ‖g‖, 1)."""
    random = torch.Generator().manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(5))]
    gradients = [torch.randn(p.shape, generator=random) * 10 for p in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    norm = math.sqrt(sum(float(g.pow(2).sum()) for g in gradients))
    assert float(clip_gradients(parameters, theta)) == pytest.approx(norm, rel=1e-5)
    factor = min(theta / norm, 1.0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient * factor)


def test_averages_formula() -> None:
    """Averages are ā ← d ā + (1 − d) w, with a smaller decay d at first."""
    trainer = make_trainer(TrainingConfig(steps=40, average=0.5))
    mean: dict[str, torch.Tensor] = {}
    for number, _ in enumerate(trainer):
        now = {name: p.detach().double() for name, p in trainer.model.named_parameters()}
        decay = min(0.5, (1 + number) / (10 + number)) if mean else 0.0
        mean = {n: decay * mean[n] + (1 - decay) * now[n] if mean else now[n] for n in now}
        for name, tensor in trainer.weights().items():
            torch.testing.assert_close(tensor.double(), mean[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(trainer.weights()["b_q"], trainer.model.b_q)


def make_trainer(config: TrainingConfig, clock: Any = lambda: 0.0) -> Trainer:
    model = LanguageModel(ModelConfig(hidden_size=8, embedding_size=4), 7)
    model.initialize(torch.Generator().manual_seed(0))
    ids = np.arange(400, dtype=np.uint8) % 7
    batches = make_batches(ids, BatchesConfig(batch_size=4, sequence_length=10), seed=0)
    return Trainer(model, batches, config, clock)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_loaded_trainer_takes_the_same_steps(optimizer: Literal["adamw", "sgd"]) -> None:
    """A trainer that loads the `state_dict` of another one continues bit for bit."""
    config = TrainingConfig(steps=20, optimizer=optimizer, momentum=0.9, average=0.5)
    whole = [step.loss for step in make_trainer(config)]
    first, second = make_trainer(config), make_trainer(config)
    losses = [step.loss for step in islice(first, 12)]
    second.model.load_state_dict(first.weights())
    second.load_state_dict(first.state_dict())
    losses += [step.loss for step in second]
    assert losses == whole


def test_each_limit_ends_training() -> None:
    assert [step.step for step in make_trainer(TrainingConfig(steps=3))] == [1, 2, 3]
    *_, last = make_trainer(TrainingConfig(epochs=2.0))
    assert last.epoch == 2.0
    *_, last = make_trainer(TrainingConfig(epochs=0.5))
    assert 0.5 <= last.epoch < 0.62


def test_budget_lays_the_schedule_over_time() -> None:
    now = [0.0]
    config = TrainingConfig(budget=10.0, schedule="linear", warmup_steps=0, learning_rate=1.0)
    trainer = make_trainer(config, clock=lambda: now[0])
    rates = []
    for step in trainer:
        rates.append(step.learning_rate)
        now[0] += 2.5
    assert rates == pytest.approx([1.0, 0.755, 0.51, 0.265])


def test_sgd_is_the_gradient_times_the_rate() -> None:
    config = TrainingConfig(
        steps=1, optimizer="sgd", learning_rate=0.5, warmup_steps=0, weight_decay=0.0,
        schedule="constant", max_gradient_norm=None,
    )  # fmt: skip
    trainer = make_trainer(config)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    next(iter(trainer))
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.detach(), before[name] - 0.5 * parameter.grad)


def test_state_is_carried_without_gradients() -> None:
    """A batch that continues starts from the last state, detached; others start from zeros."""
    trainer = make_trainer(TrainingConfig(steps=10))
    batch = next(trainer.batches)
    trainer.take_step(batch, 0.0)
    assert trainer.state[0][0].shape == (4, 8)
    carried = trainer.state
    seen: list[Any] = []

    def spy(inputs: Any, targets: Any, state: Any, generator: Any) -> Any:
        seen.append(state)
        return LanguageModel.loss(trainer.model, inputs, targets, state, generator)

    trainer.model.loss = spy  # type: ignore[method-assign, assignment]
    trainer.take_step(Batch(batch.inputs, batch.targets, continues=True), 0.0)
    trainer.take_step(Batch(batch.inputs, batch.targets, continues=False), 0.0)
    for mine, theirs in zip(seen[0][0], carried[0], strict=True):
        assert torch.equal(mine, theirs)
        assert not mine.requires_grad
    assert all((tensor == 0).all() for tensor in seen[1][0])


def test_config_object_trains_too(text_file: Path, tmp_path: Path) -> None:
    config = Config.model_validate(
        {"corpus": {"paths": [str(text_file)]}, "training": {"steps": 2}}
    )
    finished = start.train(config, runs=tmp_path, settings=TINY)
    assert finished.step == 2
    assert finished.folder.path == tmp_path / "run-1"


# --- a batch in groups of columns ----------------------------------------------------------------

DROPPED = [
    "model.num_layers=2",
    "model.dropout=0.3",
    "model.embedding_dropout=0.2",
    "batches.batch_size=10",
    "batches.sequence_length=48",
    "training.validate_every=null",
    "training.steps=13",  # an epoch is of 10, and the last random batch has 6 or 7 columns
]


@pytest.mark.parametrize("sampling", ["random", "sequential"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mogrifier"])
def test_groups_equal_the_whole_batch(
    text_file: Path, tmp_path: Path, cell: str, sampling: str
) -> None:
    """Even where groups are unequal, or more than the columns of an epoch's last batch."""
    locked = (cell == "gru") == (sampling == "random")
    settings = [*DROPPED, f"model.cell={cell}", f"batches.sampling={sampling}"]
    settings += [f"model.locked_dropout={str(locked).lower()}", "training.save_every=6"]
    whole = train(text_file, tmp_path, *settings, name="whole")
    groups = [*settings, "training.accumulate=8"]
    with pytest.raises(PowerLossError):
        train(text_file, tmp_path, *groups, name="groups", on_event=crash_at(8))
    charlm.resume(tmp_path / "groups")
    mine, theirs = lines(RunFolder(tmp_path / "groups")), lines(whole)
    assert len(mine) == len(theirs) == 14
    for ours, other in zip(mine, theirs, strict=True):
        name = "validation_precision"
        assert ours.pop(name, None) == other.pop(name, None)
        assert ours == pytest.approx(other, rel=1e-4)


def test_groups_draw_the_same_masks() -> None:
    """A batch has several blocks of columns, each with its random generator."""
    whole = Masks([3, 5], 150)
    vectors, drawn = whole.for_all(9, 4), [whole.for_columns(time, 6) for time in (8, 1, 8)]
    assert not (drawn[0][:, :64] == drawn[0][:, 64:128]).all()
    for columns in (range(0, 150), range(3, 60), range(60, 70), range(64, 150), range(149, 150)):
        masks = Masks([3, 5], 150, columns)
        assert (masks.for_all(9, 4) == vectors).all()
        for time, expected in zip((8, 1, 8), drawn, strict=True):
            part = masks.for_columns(time, 6)
            assert (part == expected[:, columns.start : columns.stop]).all()
