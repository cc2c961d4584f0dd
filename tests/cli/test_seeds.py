"""`--seed` where a command draws random numbers: the same seed gives the same figures."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import run, train
from support.texts import TEXT

from charlm.config.schema import Config
from charlm.errors import CharlmError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text").write_text(TEXT * 3, "utf-8")
    for name, *options in (("one", "--seed=1"), ("two", "--seed=2")):
        train(folder / "text", folder / "runs", "--name", name, *options)
    return folder / "runs"


@pytest.mark.parametrize("command", ["eval one", "compare one two", "context one --targets=40"])
def test_a_seed_decides_the_intervals(command: str, runs: Path) -> None:
    """Another seed gives other intervals of the same figures, and the JSON names it."""
    name, *words = command.split()
    words = [str(runs / word) if word in ("one", "two") else word for word in words]

    def found(*seed: str) -> Any:
        shown = run(name, *words, "--json", *seed)
        assert shown.exit_code == 0, shown.output
        result = json.loads(shown.stdout)
        result.pop("scored_at", None)  # two scores may straddle a second
        return result

    default, zero, one = found(), found("--seed=0"), found("--seed=1")
    assert default == zero != one
    drawn = [each["interval"] if name == "eval" else each for each in (zero, one)]
    assert [each["seed"] for each in drawn] == [0, 1]


def test_bench_has_the_seed_of_training(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`charlm bench --seed` measures networks and batches of this seed."""

    def measure(config: Config, *_: object) -> None:
        raise CharlmError(f"seed {config.training.seed}")

    monkeypatch.setattr("charlm.bench.benchmark.measure", measure)
    assert "seed 7" in run("bench", "--seed=7", "--text", runs.parent / "text").stderr
