"""Measure how the cost of training grows with each size, for `charlm bench --sweep`."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from charlm.bench.model_benchmark import ModelBenchmark, Shape
from charlm.bench.plain_loop import PlainLoop
from charlm.bench.timing import Work, in_own_process, in_turns
from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.training.calibration import choose_compute

_SIZES = {
    "hidden_size": (128, 256, 512, 1024),
    "num_layers": (1, 2, 3),
    "batch_size": (8, 16, 32, 64, 128),
    "sequence_length": (16, 32, 64, 128, 256),
}


@dataclass(frozen=True)
class Point:
    """One combination of sizes."""

    sizes: tuple[str | int, ...]
    """Cell, number of layers, hidden size, batch size, sequence length."""
    rate: float
    """Characters per second."""
    plain_rate: float
    """Characters per second in a plain loop of torch.nn."""
    peak_bytes: int
    """Peak bytes of tensors in a training step, besides parameters, gradients and optimiser."""
    plain_peak_bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def sweep(config: Config, seconds: float = 0.5) -> Iterator[Point]:
    """Change one size of a config at a time; yield each point as soon as it is measured."""
    compute = choose_compute(config)
    torch.set_num_threads(compute.threads)
    corpus = build_corpus(config.corpus)
    for shape in _shapes(config):
        bench = ModelBenchmark(
            shape,
            config.training,
            compute.precision,
            corpus.splits["train"].ids,
            len(corpus.vocabulary),
            seconds,
        )
        charlm = bench.trainer()
        with in_own_process(bench.plain_loop) as plain:
            rates = in_turns({"charlm": charlm, "plain": plain}, seconds)
        model = shape.model
        yield Point(
            (
                model.cell,
                model.num_layers,
                model.hidden_size,
                shape.batch_size,
                shape.sequence_length,
            ),
            statistics.median(rates["charlm"]),
            statistics.median(rates["plain"]),
            peak_bytes(charlm),
            peak_bytes(PlainLoop(**bench.plain_loop).take_step),
        )


def _shapes(config: Config) -> Iterator[Shape]:
    for key, values in _SIZES.items():
        for value in values:
            sizes = {
                "batch_size": config.batches.batch_size,
                "sequence_length": config.batches.sequence_length,
            }
            model = config.model
            if key in sizes:
                sizes[key] = value
            else:
                is_tied = model.tie_weights and key == "hidden_size"
                tied = {"embedding_size": value} if is_tied else {}
                model = model.replace(**{key: value}, **tied)
            yield Shape(f"{key} {value}", model, **sizes)


def peak_bytes(step: Work) -> int:
    """Return the peak memory, in bytes, that a step allocates for tensors.

    It counts allocations by PyTorch, not the memory that the process keeps from the system.
    """
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        for _ in range(2):  # one of them may be the short step at the end of an epoch
            step()
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        record.export_chrome_trace(str(trace))
        events = json.loads(trace.read_bytes())["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    held = highest = 0
    for change in sorted(changes, key=lambda change: float(change["ts"])):
        held += change["args"]["Bytes"]
        highest = max(highest, held)
    return highest
