"""One loaded model, used by several threads at once: each gets what it would get alone."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from support.generation import generate_many
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from charlm import activations, context, evaluate, generate, load, surprise
from charlm.config.schema import Config, EnsembleConfig, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.kernels.compute import Compute
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.prediction.predictor import Predictor
from charlm.runs.checkpoint import Checkpoint, write_checkpoint

LETTERS = Vocabulary(tuple(map(ord, "\n abcdefgh")))
TURNS = {"lstm": 6, "gru": 6, "ensemble": 2}


@pytest.fixture(autouse=True)
def _threads_in_short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-3)  # much less, and a busy machine does little but switch
    yield
    sys.setswitchinterval(before)


def checkpoint_of(folder: Path, kind: str) -> Path:
    """A checkpoint of a network trained in bfloat16, or of two and n-grams."""
    number = 2 if kind == "ensemble" else 1
    config = Config(
        model=ModelConfig(cell="gru" if kind == "gru" else "lstm", hidden_size=48, dropout=0.3),
        ensemble=EnsembleConfig(members=number, ngram_order=3 if number > 1 else None),
    )
    networks = []
    for seed in range(number):
        network = LanguageModel(config.model, len(LETTERS))
        network.initialize(torch.Generator().manual_seed(seed))
        networks.append(network)
    model = networks[0] if number == 1 else Ensemble(networks, 3, text_ids()[:500])
    path = folder / "checkpoint.safetensors"
    write_checkpoint(
        path, Checkpoint(config, LETTERS, "0", model.tensors(), compute=Compute("bfloat16"))
    )
    return path


def text_ids() -> np.ndarray:
    return np.random.default_rng(0).integers(1, len(LETTERS), 700).astype(np.uint8)


def uses(model: Predictor, folder: Path) -> dict[str, Callable[[], object]]:
    """What people do with a model."""
    text = folder / "text.txt"
    text.write_text(LETTERS.decode(text_ids()), "utf-8")
    about: dict[str, Any] = {"length": 25, "seed": 3}
    return {
        "score exactly": lambda: evaluate(model, text=text),
        "score in rows": lambda: evaluate(model, text=text, rows=4),
        "generate": lambda: "".join(generate(model, "abc", **about)),
        "generate many": lambda: generate_many(model, "bad", num_samples=3, **about),
    }


@pytest.mark.parametrize("kind", ["lstm", "gru", "ensemble"])
def test_threads_can_share_a_model(kind: str, tmp_path: Path) -> None:
    """Bit for bit: scores in either precision, and texts."""
    model = load(checkpoint_of(tmp_path, kind), device="cpu")
    actions = uses(model, tmp_path)
    alone = {name: action() for name, action in actions.items()}
    begin = Barrier(len(actions))

    def repeat(name: str) -> list[object]:
        begin.wait()
        return [actions[name]() for _ in range(TURNS[kind])]

    with ThreadPoolExecutor(len(actions)) as pool:
        together = dict(zip(actions, pool.map(repeat, actions), strict=True))
    for name, found in together.items():
        assert found == [alone[name]] * TURNS[kind], name


class Recorded(TorchFunctionMode):
    """The operations of which PyTorch recorded how to differentiate them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.grad_fn is not None for x in tree_leaves(result)):
            self.names.add(getattr(func, "__name__", str(func)))
        return result


@pytest.mark.parametrize("kind", ["lstm", "gru", "ensemble"])
def test_using_a_model_records_no_graph(kind: str, tmp_path: Path) -> None:
    """Two threads that record graphs of one tensor can wait for one another for ever.

    One locks the tensor, then the interpreter; the other locks the interpreter, then the tensor.
    """
    path = checkpoint_of(tmp_path, kind)
    with Recorded() as recorded:
        model = load(path, device="cpu")
        for action in uses(model, tmp_path).values():
            action()
        text = tmp_path / "text.txt"
        surprise(model, text=text)
        context(model, text=text)
        activations(model, text=text, member=1)
        model.scores("abc")
    assert recorded.names == set()
