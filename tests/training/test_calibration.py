"""Settings decided by measurement: threads chosen again in a run, and that no result feels it."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from charlm.config.schema import BatchesConfig, ModelConfig, TrainingConfig
from charlm.corpus.batches import make_batches
from charlm.kernels import compiler
from charlm.models.language_model import LanguageModel
from charlm.training import calibration
from charlm.training.calibration import watch_threads
from charlm.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def steps(most: int, seconds: Callable[[int], float], count: int) -> list[int]:
    """Send in steps whose time depends on the number of threads; return the numbers taken."""
    watch = watch_threads(most)
    next(watch)
    taken = []
    for _ in range(count):
        threads = torch.get_num_threads()
        taken.append(threads)
        watch.send(seconds(threads))
    return taken


def test_a_quiet_machine_keeps_every_thread() -> None:
    taken = steps(4, lambda threads: 1 / threads, 200)
    assert taken[-100:] == [4] * 100
    assert taken.count(2) < 10


def test_fewer_threads_if_faster() -> None:
    """Fewer threads are used where they are faster."""
    assert steps(4, float, 200)[-100:] == [1] * 100


def test_threads_go_and_come_with_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))  # a second a step
    monkeypatch.setattr(calibration, "perf_counter", lambda: float(next(clock)))
    load = iter([0.5] * 100 + [3.0] * 100 + [0.5] * 200)

    def seconds(threads: int) -> float:
        with_two = next(load)  # one thread always takes 1
        return with_two if threads == 2 else 1.0

    taken = steps(2, seconds, 400)
    assert taken[60:100].count(2) > 30
    assert taken[120:200].count(1) > 40
    assert taken[260:].count(2) > 100


def test_small_differences_change_nothing() -> None:
    """A difference smaller than the noise does not change the number of threads."""
    assert steps(2, lambda threads: 1 + threads / 20, 300)[-200:] == [2] * 200


@pytest.mark.skipif(compiler.library() is None, reason="no compiler")
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_bfloat16_is_the_same_on_any_threads(cell: str) -> None:
    """No bit of a run depends on the number of threads, where the run may change it."""
    ids = np.random.default_rng(0).integers(0, 40, 9_000, np.uint16)
    model = ModelConfig.model_validate(
        {"cell": cell, "hidden_size": 160, "embedding_size": 48, "num_layers": 2, "dropout": 0.2}
    )

    assert calibration.may_vary_threads(model, "bfloat16")
    assert not calibration.may_vary_threads(model, "float32")

    def losses(threads: Callable[[int], int]) -> list[float]:
        learner = LanguageModel(model, 40)
        learner.initialize(torch.Generator().manual_seed(0))
        learner.precision = "bfloat16"
        batches = make_batches(ids, BatchesConfig(batch_size=40, sequence_length=33), 0)
        trainer = Trainer(learner, batches, TrainingConfig(), clock=lambda: 0.0)
        reports = []
        for step in range(6):
            torch.set_num_threads(threads(step))
            reports.append(trainer.take_step(next(batches), 0.1))
        return [number for report in reports for number in (report.loss, report.gradient_norm)]

    alone = losses(lambda step: 1)
    assert losses(lambda step: (1, 4, 2, 8, 3, 1)[step]) == alone


def test_gates_of_pytorch_keep_the_threads() -> None:
    """A mogrifier's gate is a product of PyTorch, whose last bits depend on the threads."""
    mogrifier = ModelConfig(cell="mogrifier")
    assert not calibration.may_vary_threads(mogrifier, "bfloat16")
