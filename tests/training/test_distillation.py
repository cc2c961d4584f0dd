"""Distillation: the targets, and that teachers keep their states."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from support.commands import SMALL, quickstart_on, refused, run, steps_logged, train
from support.distillation import SIZE, network
from support.training import PowerLossError, assert_same_weights, crash_at

import charlm
from charlm.config.schema import BatchesConfig, EnsembleConfig, TrainingConfig
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.batches import make_batches
from charlm.models.ensemble import Ensemble
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import distillation
from charlm.training.distillation import Teacher, may_remember
from charlm.training.events import Event, Stepped
from charlm.training.trainer import Trainer

SMALL_SETTINGS = [s.removeprefix("--set=") for s in SMALL if s.startswith("--set=")]


def batch(seed: int, continues: bool) -> Batch:
    ids = torch.randint(SIZE, (8, 3), generator=torch.Generator().manual_seed(seed))
    return Batch(ids[:-1], ids[1:], continues)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_target_mixes_text_and_teachers(
    share: float,
) -> None:
    """A target is a distribution: a share of the mean of the teachers, the rest the text."""
    networks = [network(1), network(2)]
    one = batch(0, continues=False)
    targets = Teacher(networks, share).targets(one)
    predictions = torch.stack(
        [net(one.inputs, net.initial_state(3))[0].softmax(2) for net in networks]
    ).mean(0)
    text = torch.nn.functional.one_hot(one.targets, SIZE)
    torch.testing.assert_close(targets, (1 - share) * text + share * predictions)
    torch.testing.assert_close(targets.sum(2), torch.ones(7, 3))


def test_teachers_carry_their_state() -> None:
    """Teachers carry their state to a batch that continues, and start others from zeros."""
    first, second = batch(0, continues=False), batch(1, continues=True)
    carrying, fresh = Teacher([network(1)], 1.0), Teacher([network(1)], 1.0)
    carrying.targets(first)
    together = torch.cat([first.inputs, second.inputs])
    expected = network(1)(together, network(1).initial_state(3))[0].softmax(2)[7:]
    torch.testing.assert_close(carrying.targets(second), expected)
    restarted = carrying.targets(second._replace(continues=False))
    torch.testing.assert_close(restarted, fresh.targets(second._replace(continues=False)))
    assert not torch.allclose(restarted, expected)


@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_teachers_remember_what_they_predicted(sampling: Literal["sequential", "random"]) -> None:
    """From the second epoch on, a target is what they predict of its character in the text."""
    ids = np.random.default_rng(0).integers(SIZE, size=400)
    networks, share = [network(1), network(2)], 0.7
    with torch.no_grad():
        predicted = torch.stack(
            [
                net(torch.from_numpy(ids).unsqueeze(1), net.initial_state(1))[0].softmax(2)
                for net in networks
            ]
        ).mean(0)[:, 0]
    teacher, reading = Teacher(networks, share, ids), Teacher(networks, share)
    config = BatchesConfig(batch_size=4, sequence_length=10, sampling=sampling)
    batches = make_batches(ids, config, seed=0)
    while (batch := next(batches)).epoch == 0:
        assert torch.equal(teacher.targets(batch), reading.targets(batch))
    for _ in range(15):  # an epoch and more
        assert batch.starts is not None
        places = torch.from_numpy(batch.starts) + torch.arange(len(batch.inputs)).unsqueeze(1)
        assert torch.equal(torch.from_numpy(ids)[places], batch.inputs)
        text = torch.nn.functional.one_hot(batch.targets, SIZE)
        expected = (1 - share) * text + share * predicted[places]
        torch.testing.assert_close(teacher.targets(batch), expected, atol=1e-4, rtol=1e-3)
        batch = next(batches)


def test_teachers_read_every_batch_of_records(text_file: Path, tmp_path: Path) -> None:
    """Their order changes, and so does what is before a character; and so for a long text."""
    assert may_remember(SIZE, np.zeros(9, int), None)
    assert not may_remember(SIZE, np.zeros(9, int), 0)
    assert not may_remember(2**20, np.zeros(257, int), None)
    text_file.write_text("".join(f"{number} is a line\n" for number in range(300)))
    teacher = train(text_file, tmp_path, "--name", "teacher")
    for name, text in (("of-records", "corpus.records=lines"), ("of-text", "corpus.records=none")):
        settings = [f"--set={text}", f"--set=training.teachers={teacher}"]
        student = train(text_file, tmp_path, "--name", name, *settings, steps=100)
        tensors = read_checkpoint(RunFolder(student).last).training_tensors
        assert ("teacher-0.0.0" in tensors) is (name == "of-records")


def test_share_of_zero_changes_nothing() -> None:
    losses = []
    for teacher in (None, Teacher([network(7)], 0.0)):
        ids = np.random.default_rng(0).integers(SIZE, size=400)
        batches = make_batches(ids, BatchesConfig(batch_size=4, sequence_length=10), seed=0)
        config = TrainingConfig(steps=12, learning_rate=0.01)
        trainer = Trainer(network(0), batches, config, lambda: 0.0, teacher=teacher)
        losses.append([step.loss for step in trainer])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_student_approaches_its_teacher() -> None:
    """A student comes closer to its teacher than training on the text alone."""
    ids = np.random.default_rng(0).integers(SIZE, size=600)  # noise: only the teacher has structure
    batches = BatchesConfig(batch_size=4, sequence_length=10)
    teacher = network(3)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(3)
    one = batch(0, continues=False)
    target = teacher(one.inputs, teacher.initial_state(3))[0].log_softmax(2)
    distances = []
    for guide in (None, Teacher([teacher], 1.0)):
        student = network(0)
        config = TrainingConfig(steps=150, learning_rate=0.02)
        trainer = Trainer(student, make_batches(ids, batches, 0), config, float, teacher=guide)
        list(trainer)
        learned = student.eval()(one.inputs, student.initial_state(3))[0].log_softmax(2)
        distances.append((target.exp() * (target - learned)).sum(2).mean().item())
    assert distances[1] < 0.2 * distances[0]


@pytest.mark.parametrize(
    ("sampling", "length", "remembers"),
    [("sequential", 64, True), ("random", 100, True), ("sequential", 64, False)],
)
def test_resumed_student_equals(
    text_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampling: str,
    length: int,
    remembers: bool,
) -> None:
    """A student that crashes and is resumed equals the uninterrupted one.

    The teachers read the whole text after the first epoch, or each batch of a long text. The crash
    is in the first epoch of 18 steps, or in the second of 11.
    """
    if not remembers:
        monkeypatch.setattr(distillation, "_REMEMBERED_BYTES", 0)
    teacher = train(text_file, tmp_path, "--name", "teacher")
    settings = [
        *SMALL_SETTINGS,
        f"training.teachers={teacher}",
        f"batches.sampling={sampling}",
        f"batches.sequence_length={length}",
        "model.dropout=0.2",
        "training.steps=30",
        "training.save_every=7",
        "training.budget=null",
    ]
    for name in ("whole", "broken"):
        on_event = crash_at(16 if name == "broken" else 0)
        try:
            charlm.train(
                "quickstart",
                text=text_file,
                runs=tmp_path,
                name=name,
                settings=settings,
                on_event=on_event,
            )
        except PowerLossError:
            charlm.resume(tmp_path / name)
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    assert_same_weights(broken.last, whole.last)
    states = [read_checkpoint(run.last).training_tensors for run in (whole, broken)]
    assert ("teacher-0.0.0" in states[0]) is not remembers
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_ensemble_trains_a_student(text_file: Path, tmp_path: Path) -> None:
    folder = train(text_file, tmp_path, "--set=ensemble.student=0.4", "--set=ensemble.members=2")
    members = [
        read_checkpoint(RunFolder(folder / f"member-{n}").best).config.training for n in (1, 2, 3)
    ]
    assert [len(training.teachers) for training in members] == [0, 0, 2]
    assert len({training.seed for training in members}) == 3
    mixture = read_checkpoint(RunFolder(folder).best).make_model()
    assert isinstance(mixture, Ensemble)
    assert len(mixture.members) == 3
    assert run("eval", folder / "member-3").exit_code == 0
    assert run("eval", folder).exit_code == 0


def test_teacher_of_another_text_is_refused(text_file: Path, tmp_path: Path) -> None:
    teacher = train(text_file, tmp_path, "--name", "teacher")
    (other := tmp_path / "other.txt").write_text("0123456789" * 500)
    result = run(
        *quickstart_on(other, tmp_path),
        f"--set=training.teachers={teacher}",
        *SMALL,
    )
    refused(result, "training.teachers", "different vocabulary")
    refused(run("train", "--set=training.teachers=nowhere", *SMALL), "nowhere", "no such run")


def test_student_in_groups_of_columns(text_file: Path, tmp_path: Path) -> None:
    """A student that reads groups of columns has the losses of the whole batch."""
    teacher = train(text_file, tmp_path, "--name", "teacher")
    runs = [
        train(
            text_file,
            tmp_path,
            "--name",
            f"groups-{groups}",
            f"--set=training.accumulate={groups}",
            f"--set=training.teachers={teacher}",
            "--set=training.log_every=1",
        )
        for groups in (1, 3)
    ]
    whole, grouped = (
        [line["loss"] for line in steps_logged(run) if "loss" in line] for run in runs
    )
    assert grouped == pytest.approx(whole, rel=1e-4)


def test_resumed_student_needs_same_teachers(text_file: Path, tmp_path: Path) -> None:
    """A student is resumed with the same teachers in the same order, also at other paths."""
    first, second = (train(text_file, tmp_path, f"--seed={seed}") for seed in (1, 2))
    student = train(text_file, tmp_path, f"--set=training.teachers=[{first}, {second}]")
    moved = tmp_path / "moved"
    first.rename(moved)
    resume = ["train", "--quiet", "--resume", student, "--set=training.steps=6"]
    for teachers in ("[]", f"[{second}, {moved}]", str(moved)):
        result = run(*resume, f"--set=training.teachers={teachers}")
        refused(result, "training.teachers", "in their order")
    assert run(*resume, f"--set=training.teachers=[{moved}, {second}]").exit_code == 0


def test_resumed_ensemble_with_student(text_file: Path, tmp_path: Path) -> None:
    """An ensemble that crashes while its student trains is resumed there."""
    (other := tmp_path / "other.txt").write_text(text_file.read_text()[:600])
    settings = [
        *SMALL_SETTINGS,
        "ensemble.members=2",
        "ensemble.student=0.3",
        "training.steps=9",
        f"corpus.validation_paths={other}",
    ]
    finished = []
    for name in ("whole", "über-🙂"):
        steps = iter(range(100))

        def stop(event: Event, name: str = name, steps: Iterator[int] = steps) -> None:
            if isinstance(event, Stepped) and next(steps) == 22 and name != "whole":
                raise PowerLossError

        try:
            done = charlm.train(
                "quickstart",
                text=text_file,
                runs=tmp_path,
                name=name,
                settings=settings,
                on_event=stop,
            )
        except PowerLossError:
            done = charlm.resume(tmp_path / name)
        finished.append(done)
    whole, broken = (done.folder for done in finished)
    for number in (1, 2, 3):
        last = f"member-{number}/checkpoints/last.safetensors"
        assert_same_weights(broken.path / last, whole.path / last)


def test_ensemble_with_student_is_extended(text_file: Path, tmp_path: Path) -> None:
    """The student continues with its extended teachers; after a crash there, with the same bits.

    It does so with its ensemble only, and the error of the student alone says this.
    """
    settings = [*SMALL_SETTINGS, "ensemble.members=2", "ensemble.student=0.3", "training.steps=4"]
    longer = ["training.steps=8"]
    charlm.train("quickstart", text=text_file, runs=tmp_path, name="whole", settings=settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    whole = charlm.resume(tmp_path / "whole", settings=longer)
    assert whole.step == 3 * 8
    steps = iter(range(100))

    def stop(event: Event) -> None:
        if isinstance(event, Stepped) and next(steps) == 9:
            raise PowerLossError

    with pytest.raises(PowerLossError):
        charlm.resume(tmp_path / "broken", settings=longer, on_event=stop)
    remedy = f"`charlm train --resume {tmp_path / 'broken'}`"
    refused(run("train", "--resume", tmp_path / "broken" / "member-3"), remedy)
    charlm.resume(tmp_path / "broken")
    for number in (1, 2, 3):
        last = f"member-{number}/checkpoints/last.safetensors"
        assert_same_weights(tmp_path / "broken" / last, tmp_path / "whole" / last)


def test_student_gets_its_share_of_the_time() -> None:
    config = EnsembleConfig(members=3, student=0.4)
    shares = [config.share(number) for number in range(config.size)]
    assert shares == pytest.approx([0.2, 0.2, 0.2, 0.4])
    config = EnsembleConfig(members=2)
    assert [config.share(number) for number in range(config.size)] == [0.5, 0.5]
