"""The benchmark: ratios of what was measured in turns, and the check against a saved one."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from charlm.bench import benchmark, mixture_benchmark, model_benchmark, sweep, tables, timing
from charlm.bench.figures import Benchmark
from charlm.bench.plain_loop import PlainLoop
from charlm.bench.timing import in_turns, median_ratio
from charlm.cli.main import app
from charlm.config.schema import Config, EnsembleConfig, ModelConfig
from charlm.errors import CharlmError
from charlm.kernels import compiler

SMALL = ["--seconds=0.001", "--set=model.hidden_size=8", "--set=batches.batch_size=2"]


@pytest.fixture(autouse=True)
def _little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_benchmark, "_PRODUCT_SIZE", 64)
    monkeypatch.setattr(timing, "_NUM_TURNS", 2)
    monkeypatch.setattr(benchmark, "_TEXT_BYTES", 200_000)
    small = [
        Config(model=ModelConfig(hidden_size=8), ensemble=EnsembleConfig(members=n, ngram_order=7))
        for n in (2, 3)
    ]
    monkeypatch.setattr(mixture_benchmark, "standard_mixtures", lambda: small)
    monkeypatch.setattr(sweep, "_SIZES", {"sequence_length": (16, 512)})


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, arguments), *SMALL])


def test_figures_are_shown_and_saved(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark has rates, bounds and ratios; each is shown when it is measured."""
    result = bench("--no-cells", "--text", text_file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    names = {"date", "processor", "cores", "system", "python", "torch", "numpy", "charlm"}
    names |= {"commit", "threads", "precision", "engine", "limit of training"}
    assert found["machine"].keys() == names
    for figure in (*found["machine"], *found["rates"], *found["ratios"]):
        assert f"{figure}: " in result.stderr
    products = {p: found["rates"][f"{p} products, GFLOP/s"] for p in ("float32", "bfloat16")}
    assert max(products, key=lambda p: products[p]) in found["machine"]["limit of training"]
    assert all(rate > 0 for rate in found["rates"].values())
    for words in ("plain loop", "float32 products", "encoding", "reading the weights", "16 rows"):
        assert any(words in name for name in found["rates"]), words
    times = found["ratios"]["config: training, times the plain loop"]
    rates = [found["rates"]["config: training"]]
    rates.append(found["rates"]["config: training in a plain loop of torch.nn"])
    assert times == pytest.approx(rates[0] / rates[1], rel=1.0)  # medians of few turns
    mixture = "mixture of 2 × lstm 8: generation"
    assert {mixture, f"{mixture}, its networks alone", f"{mixture}, 64 samples"} <= set(
        found["rates"]
    )
    assert {f"{mixture}, share of its networks alone", f"{mixture}, 64 samples over one"} <= set(
        found["ratios"]
    )
    assert any(name.startswith("loading a mixture of ") for name in found["rates"])
    assert "counting n-grams in numpy" in found["rates"]
    if compiler.library() is not None:
        assert "counting n-grams: numpy, share of the kernels" in found["ratios"]
    made = tables.tables(
        [found, [{"precision": "float32", "quiet": 9.0, "busy": 7.0, "kept": 0.78}]]
    )
    for words in ("| config | ", "× plain loop", "| mixture of 2", "encoding", "| 9 | 7 | 78% |"):
        assert words in made
    text = tables.README.read_text(encoding="utf-8")
    assert made in tables.replaced(text, made)
    assert tables.replaced(tables.replaced(text, made), "new") == tables.replaced(text, "new")


def test_figures_are_printed_at_once(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured before an interruption has been printed."""

    def measure(*arguments: Any) -> Benchmark:
        result = Benchmark({}, emit=arguments[-1])
        result.add_rate("config: training", 12345.6)
        result.add_ratio("config: training, times the plain loop", 2.345)
        raise CharlmError("interrupted")

    monkeypatch.setattr(benchmark, "measure", measure)
    lines = bench("--no-cells", "--text", text_file).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["12,346", "2.35"]


def test_check_fails_where_a_ratio_was_lost(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ratios that are equal or better pass."""
    ratios = {"config: training, times the plain loop": 2.0, "config: generation": 0.9}
    monkeypatch.setattr(benchmark, "measure", lambda *arguments: Benchmark({}, {}, ratios))
    names = ("--no-cells", "--text", text_file)
    saved = tmp_path / "before.json"
    saved.write_text(json.dumps({"ratios": {name: ratio / 100 for name, ratio in ratios.items()}}))
    assert bench(*names, "--check", saved).exit_code == 0
    saved.write_text(json.dumps({"ratios": {name: ratio * 100 for name, ratio in ratios.items()}}))
    result = bench(*names, "--check", saved)
    assert result.exit_code == 1
    assert f"{len(ratios)} ratios fell more than 15 %" in result.output
    assert "slower: config: training" in result.output


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ratios": 3}', '{"ratios": {"a": "b"}}'])
def test_no_benchmark_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "before.json"
    path.write_text(text)
    result = bench("--check", path)
    assert result.exit_code == 1
    assert str(path) in result.output
    assert bench("--check", tmp_path / "none.json").exit_code == 1


def test_fifteen_in_a_hundred_may_be_lost() -> None:
    now = Benchmark({}, ratios={"a": 0.86, "b": 0.84, "new": 1.0})
    assert now.losses({"a": 1.0, "b": 1.0, "gone": 9.0}) == {"b": (1.0, 0.84)}


def test_a_ratio_compares_turn_with_turn() -> None:
    assert median_ratio([10.0, 1.0, 30.0], [5.0, 1.0, 10.0]) == 2
    turns: list[str] = []

    def work(name: str) -> float:
        turns.append(name)
        return 1.0

    rates = in_turns({"a": lambda: work("a"), "b": lambda: work("b")}, 1e-9)
    assert [len(rates[name]) for name in "ab"] == [2, 2]
    assert turns == ["a", "b"] * 3  # once to warm up


def test_sweep_shows_sizes_and_memory(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep shows every size, and memory grows with the sequence length."""
    monkeypatch.setattr(  # which other tests start
        sweep, "in_own_process", lambda sizes: nullcontext(PlainLoop(**sizes).take_step)
    )
    result = bench("--sweep", "--text", text_file, "--json")
    assert result.exit_code == 0, result.output
    points = json.loads(result.stdout)
    short, long = points
    assert long["sizes"][-1] == 32 * short["sizes"][-1]
    assert long["peak_bytes"] > 4 * short["peak_bytes"]
    measured = [sweep.Point(**{**point, "sizes": tuple(point["sizes"])}) for point in points]
    monkeypatch.setattr(sweep, "sweep", lambda *arguments: measured)
    table = bench("--sweep", "--text", text_file)
    assert "hidden" in table.stdout
    assert "MB per step" in table.stdout


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_plain_loop_learns(cell: str) -> None:
    """It is a fair opponent only if it does the work."""
    plain = PlainLoop(
        cell=cell,
        hidden_size=16,
        num_layers=2,
        dropout=0.0,
        nonlinearity="tanh",
        vocabulary_size=5,
        embedding_size=8,
        batch_size=4,
        sequence_length=8,
        max_gradient_norm=1.0,
        device="cpu",
    )
    before = plain.loss().item()
    assert [plain.take_step() for _ in range(300)] == [32] * 300
    assert plain.loss().item() < before / 2


def test_plain_loop_has_the_found_environment() -> None:
    """It runs in the environment that charlm found, not in the one that charlm sets."""
    script = (
        "import os; before = dict(os.environ); import charlm.environment.process as machine; "
        "machine.prepare(); "
        "assert machine.original_environment() == before; assert 'OMP_WAIT_POLICY' in os.environ"
    )
    environment = {name: value for name, value in os.environ.items() if name[:4] not in _THREADS}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


_THREADS = ("OMP_", "GOMP", "KMP_")
