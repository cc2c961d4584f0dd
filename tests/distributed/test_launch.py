"""What needs no second process: shares of a batch, and what a launch refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import refused, run

from charlm.config.schema import BatchesConfig, ModelConfig
from charlm.corpus.batches import make_batches
from charlm.distributed.launch import launch_name
from charlm.distributed.processes import Processes, portion
from charlm.models.language_model import LanguageModel
from charlm.prediction.scoring import total_nats


class Portion(Processes):
    """One of several processes, as far as columns and rows go."""

    def __init__(self, number: int, of: int) -> None:
        super().__init__()
        self._number, self._of = number, of

    def share(self, size: int) -> range:
        return portion(size, self._number, self._of)


@pytest.mark.parametrize("sampling", ["random", "sequential"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_of_a_batch_are_the_batch(sampling: str, count: int) -> None:
    """The columns of all processes are those of the whole batch."""
    ids = np.arange(600, dtype=np.uint16)
    config = BatchesConfig.model_validate(
        {"sampling": sampling, "batch_size": 5, "sequence_length": 9}
    )
    whole = make_batches(ids, config, seed=3)
    shares = [make_batches(ids, config, 3, Portion(k, count).share) for k in range(count)]
    for _ in range(40):  # three epochs; the last random batch of one has fewer columns
        batch, parts = next(whole), [next(share) for share in shares]
        assert torch.equal(torch.cat([part.inputs for part in parts], 1), batch.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts], 1), batch.targets)
        begins = np.cumsum([0, *(part.inputs.shape[1] for part in parts)])
        assert [part.first_column for part in parts] == begins[:-1].tolist()
        assert {part.num_predictions for part in parts} == {batch.targets.numel()}
        assert {part.continues for part in parts} == {batch.continues}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_shares_of_streams_add_up(rows: int) -> None:
    """The shares of the streams add up to the score of all."""
    model = LanguageModel(ModelConfig(hidden_size=8, embedding_size=4), 7)
    model.initialize(torch.Generator().manual_seed(0))
    ids = np.random.default_rng(0).integers(0, 7, 1500).astype(np.uint8)
    whole = total_nats(model, ids, rows)
    for count in (2, 3, 8):
        parts = [total_nats(model, ids, rows, Portion(k, count)) for k in range(count)]
        assert sum(parts) == pytest.approx(whole, rel=1e-7)
        assert sum(part > 0 for part in parts) == min(rows, count)


def launched(
    monkeypatch: pytest.MonkeyPatch,
    rank: int,
    most_restarts: int = 0,
    size: int = 2,
    *,
    local_size: int | None = None,
    run_id: str = "test",
    restarts: int = 0,
) -> None:
    """Let this process look as if torchrun had started it."""
    local_size = local_size or size
    about = {
        **{"RANK": rank, "LOCAL_RANK": rank % local_size},
        **{"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": local_size},
        "TORCHELASTIC_RUN_ID": run_id,
        "TORCHELASTIC_RESTART_COUNT": restarts,
        "TORCHELASTIC_MAX_RESTARTS": most_restarts,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": 29500,
    }
    for name, value in about.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench"], ["bench", "without torchrun"]),
        (["bench", "--sweep"], ["bench", "without torchrun"]),
        (["generate"], ["generate", "without torchrun"]),
        (["train", "--auto", "--budget", "9s"], ["--auto", "without torchrun"]),
        (["train", "--set=ensemble.members=2"], ["ensemble", "without torchrun"]),
        (["train", "quickstart", "--text", "-"], ["torchrun", "--text"]),
    ],
)
def test_refusals_for_several_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    """What several processes cannot do is refused, by the first one only."""
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, rank=0)
    refused(run(*arguments), *words)
    launched(monkeypatch, rank=1)
    other = run(*arguments)
    assert (other.exit_code, other.stderr) == (1, "")  # it was said once
    assert not (tmp_path / "runs").exists()


def test_restarts_need_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Restarts are refused without the name of a run."""
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, rank=0, most_restarts=3)
    refused(run("train"), "--max-restarts", "--name")


@pytest.mark.parametrize("restarts", [0, 1])
def test_restarts_need_a_launch_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, restarts: int
) -> None:
    """On several machines, restarts are refused without an id that distinguishes launches.

    Else a new launch would be refused the name of an old run, restart, and resume that run.
    """
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, 0, most_restarts=3, local_size=1, run_id="none", restarts=restarts)
    refused(run("train", "--name", "run"), "--max-restarts", "--rdzv-id")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("local_size", "run_id", "is_told"),
    [(2, "none", True), (2, "mine", True), (1, "none", False), (1, "mine", True)],
)
def test_launch_names(
    monkeypatch: pytest.MonkeyPatch, local_size: int, run_id: str, is_told: bool
) -> None:
    """A launch is named by the parent process on one machine, else by its id."""
    launched(monkeypatch, 0, local_size=local_size, run_id=run_id)
    before = launch_name()
    assert bool(before) == is_told
    launched(monkeypatch, 0, local_size=local_size, run_id=run_id, restarts=1)
    assert launch_name() == before
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/a_x/id_y/attempt_0/0/error.json")
    first = launch_name()
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/a_x/id_y/attempt_1/0/error.json")
    assert launch_name() == first
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/a_z/id_z/attempt_0/0/error.json")
    assert (launch_name() != first) == (local_size == 2)  # machines have folders of their own


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("ensemble", [["--auto"], ["--set=ensemble.members=2"]])
def test_restarts_are_for_one_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ensemble: list[str], size: int
) -> None:
    """Restarts are refused for --auto and for an ensemble."""
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, rank=0, most_restarts=3, size=size)
    refused(run("train", "--name", "run", *ensemble), "leave out torchrun --max-restarts")
    assert not (tmp_path / "runs").exists()
