"""What does not fit together is refused before the kernels see its address, and is named."""

from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.kernels import needs_compiler
from torch import Tensor

from charlm.config.schema import GenerationConfig, ModelConfig
from charlm.kernels import products, recurrence
from charlm.kernels.cross_entropy import cross_entropy
from charlm.kernels.packing import pack_columns, pack_gates
from charlm.kernels.products import multiply, product
from charlm.models.cells import GRUCell, LSTMCell, MogrifierCell
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import KernelNGrams, NumpyNGrams
from charlm.prediction.compiled_generation import CompiledGenerator

pytestmark = needs_compiler
HIDDEN = 16
WIDTH = 64
"""A multiple of the lanes of every processor's vectors."""
REFUSED = (ValueError, TypeError, IndexError)


@pytest.fixture(autouse=True)
def _as_outside_of_tests() -> Iterator[None]:
    """Annotated shapes are checked in tests alone, and would refuse most of this first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def ids(*shape: int, highest: int = 0) -> Tensor:
    return torch.full(shape, highest, dtype=torch.long)


def from_inputs(**changes: Any) -> Any:
    """Run an LSTM over vectors: 5 steps, 3 columns, 7 inputs."""
    call: dict[str, Any] = {
        "kernel": LSTMCell.kernel,
        "packed": None,
        "rows": torch.zeros(1, 4 * HIDDEN),
        "W_hh": torch.zeros(HIDDEN, 4 * HIDDEN),
        "state": (torch.zeros(3, HIDDEN), torch.zeros(3, HIDDEN)),
        "precision": "float32",
        "inputs": torch.zeros(5, 3, 7),
        "W_xh": torch.zeros(7, 4 * HIDDEN),
    }
    return recurrence.run(**(call | changes))


def from_symbols(**changes: Any) -> Any:
    """Run a GRU over 9 symbols."""
    call: dict[str, Any] = {
        "kernel": GRUCell.kernel,
        "packed": None,
        "rows": torch.zeros(9, 3 * HIDDEN),
        "W_hh": torch.zeros(HIDDEN, 3 * HIDDEN),
        "state": (torch.zeros(3, HIDDEN),),
        "precision": "bfloat16",
        "lookup": ids(5, 3, highest=8),
    }
    return recurrence.run(**(call | changes))


def gated(**changes: Any) -> Any:
    kernel, gate = MogrifierCell.kernel, torch.zeros(5, 3, HIDDEN)
    return from_inputs(**{"kernel": kernel, "gate": gate} | changes)


def loss(**changes: Any) -> Any:
    """Score 5 × 3 places over 10 symbols."""
    call: dict[str, Any] = {
        "rows": torch.zeros(5, 3, HIDDEN),
        "weights": torch.zeros(HIDDEN, 10),
        "bias": torch.zeros(10),
        "targets": ids(5, 3, highest=9),
        "precision": "bfloat16",
    }
    return cross_entropy(**(call | changes))


def low_product(**changes: Any) -> Any:
    call: dict[str, Any] = {
        "rows": torch.zeros(4, 6),
        "weights": torch.zeros(6, 10),
        "precision": "bfloat16",
    }
    with torch.no_grad():
        return product(**(call | changes))


def packed_product(**changes: Any) -> Any:
    packed = pack_columns(torch.zeros(6, 10), "float32")
    call: dict[str, Any] = {"rows": torch.zeros(4, 6), "packed": packed, "num_columns": 10}
    return multiply(**(call | changes))


def packing(**changes: Any) -> Any:
    call: dict[str, Any] = {
        "W_xh": torch.zeros(7, 4 * HIDDEN),
        "W_hh": torch.zeros(HIDDEN, 4 * HIDDEN),
    }
    return pack_gates(**(call | {"num_gates": 4, "precision": "float32"} | changes))


def columns(**changes: Any) -> Any:
    call: dict[str, Any] = {"weights": torch.zeros(6, 10), "precision": "bfloat16"}
    return pack_columns(**(call | changes))


def row_sums(**changes: Any) -> Any:
    gradients = torch.zeros(15, WIDTH)
    call: dict[str, Any] = {"gradients": gradients, "lookup": ids(5, 3), "num_rows": 4}
    return products.sum_rows(**(call | changes))


def written(uniforms: Tensor | None = None, **changes: Any) -> Any:
    """Write 4 steps of 2 samples."""
    sizes = {"hidden_size": 10, "embedding_size": 4, "num_layers": 2}
    model = LanguageModel(ModelConfig.model_validate(sizes), 8)
    model.initialize(torch.Generator().manual_seed(0))
    call: dict[str, Any] = {
        "model": model,
        "logits": torch.zeros(2, 8),
        "state": model.initial_state(2),
        "config": GenerationConfig(),
        "forbidden": 0,
    }
    generator = CompiledGenerator(**(call | changes))
    return generator.generate(torch.zeros(4, 2).double() if uniforms is None else uniforms)


def written_by_mixture(**changes: Any) -> Any:
    """Write 4 steps of 2 samples of one network with n-grams of order 3."""
    sizes = {"hidden_size": 10, "embedding_size": 4, "implementation": "fused"}
    network = LanguageModel(ModelConfig.model_validate(sizes | changes.pop("sizes", {})), 8)
    network.initialize(torch.Generator().manual_seed(0))
    mixture = Ensemble([network], 3, np.arange(8))
    for name in set(changes) & {"weights", "ngrams"}:
        setattr(mixture, name, changes.pop(name))
    state = changes.pop("state", mixture.initial_state(2))
    generator = CompiledGenerator(mixture, torch.zeros(2, 8), state, GenerationConfig(), 0)
    return generator.generate(torch.zeros(4, 2).double())


def counted(numbers: Any = (-1, 0, 1, 2), **changes: Any) -> Any:
    ngrams = KernelNGrams(**({"order": 1, "vocabulary_size": 4} | changes))
    return ngrams.count(np.array(numbers) if isinstance(numbers, tuple) else numbers)


def mixed(**changes: Any) -> Any:
    """Mix 3 steps of 2 members over 4 symbols."""
    call: dict[str, Any] = {
        "ids": np.array([-1, 0, 1, 2]),
        "members": np.zeros((3, 2, 4), np.float32),
        "weights": np.zeros((2, 4)),
    }
    return KernelNGrams(1, 4).mix(**(call | changes))


def layers(samples: int, hidden: int) -> Any:
    return tuple((torch.zeros(samples, hidden), torch.zeros(samples, hidden)) for _ in range(2))


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


EQUATIONS = LanguageModel(ModelConfig(hidden_size=10, implementation="equations"), 8)

MISTAKES: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (from_inputs, {"inputs": torch.zeros(5, 3, 6)}, "W_xh"),
    (from_inputs, {"inputs": torch.zeros(5, 3, 32)}, "W_xh"),
    (from_inputs, {"inputs": torch.zeros(5, 4, 7)}, "state"),
    (from_inputs, {"inputs": torch.zeros(5, 7)}, "inputs"),
    (from_inputs, {"inputs": torch.zeros(0, 3, 7)}, "no steps"),
    (from_inputs, {"inputs": torch.zeros(5, 3, 7).double()}, "inputs"),
    (from_inputs, {"inputs": torch.zeros(5, 3, 7, device="meta")}, "inputs"),
    (from_inputs, {"inputs": None}, "either"),
    (from_inputs, {"W_xh": None}, "either"),
    (from_inputs, {"W_xh": torch.zeros(7, 3 * HIDDEN)}, "W_xh"),
    (from_inputs, {"lookup": ids(5, 3)}, "either"),
    (from_inputs, {"rows": torch.zeros(0, 4 * HIDDEN)}, "rows"),
    (from_inputs, {"rows": torch.zeros(2, 4 * HIDDEN)}, "rows"),
    (from_inputs, {"rows": torch.zeros(1, 3 * HIDDEN)}, "rows"),
    (from_inputs, {"rows": torch.zeros(1, 4 * HIDDEN).bfloat16()}, "rows"),
    (from_inputs, {"W_hh": torch.zeros(HIDDEN, 3 * HIDDEN)}, "W_hh"),
    (from_inputs, {"W_hh": torch.zeros(HIDDEN, 4 * HIDDEN).double()}, "W_hh"),
    (from_inputs, {"W_hh": torch.zeros(4 * HIDDEN)}, "W_hh"),
    (from_inputs, {"kernel": GRUCell.kernel}, "W_hh"),
    (from_inputs, {"state": (torch.zeros(3, HIDDEN),)}, "state"),
    (from_inputs, {"state": (torch.zeros(3, HIDDEN), torch.zeros(2, HIDDEN))}, "state"),
    (from_inputs, {"state": (torch.zeros(3, 8), torch.zeros(3, 8))}, "state"),
    (from_inputs, {"state": (ids(3, HIDDEN), ids(3, HIDDEN))}, "state"),
    (from_inputs, {"precision": "float16"}, "precision"),
    (from_symbols, {"lookup": ids(5, 3, highest=9)}, "lookup"),
    (from_symbols, {"lookup": ids(5, 3, highest=-1)}, "lookup"),
    (from_symbols, {"lookup": torch.zeros(5, 3)}, "lookup"),
    (from_symbols, {"lookup": ids(15)}, "lookup"),
    (from_symbols, {"lookup": ids(5, 2)}, "state"),
    (from_symbols, {"lookup": None}, "either"),
    (from_symbols, {"rows": torch.zeros(0, 3 * HIDDEN)}, "lookup"),
    (from_symbols, {"rows": torch.zeros(9, HIDDEN)}, "rows"),
    (from_symbols, {"W_xh": torch.zeros(7, 3 * HIDDEN)}, "either"),
    (from_symbols, {"gate": torch.zeros(8, HIDDEN)}, "gate"),
    (gated, {"gate": torch.zeros(5, 3, HIDDEN - 1)}, "gate"),
    (gated, {"gate": torch.zeros(4, 3, HIDDEN)}, "gate"),
    (gated, {"gate": torch.zeros(5, 3, HIDDEN).double()}, "gate"),
    (loss, {"targets": ids(5, 2)}, "targets"),
    (loss, {"targets": ids(6, 3)}, "targets"),
    (loss, {"targets": ids(15)}, "targets"),
    (loss, {"targets": ids(5, 3, highest=10)}, "targets"),
    (loss, {"targets": ids(5, 3, highest=-1)}, "targets"),
    (loss, {"targets": ids(5, 3).int()}, "targets"),
    (loss, {"targets": torch.zeros(5, 3)}, "targets"),
    (loss, {"targets": torch.zeros(5, 3, 9)}, "targets"),
    (loss, {"targets": torch.zeros(5, 3, 10).double()}, "targets"),
    (loss, {"weights": torch.zeros(HIDDEN + 2, 10)}, "weights"),
    (loss, {"bias": torch.zeros(9)}, "bias"),
    (loss, {"bias": torch.zeros(10).double()}, "bias"),
    (loss, {"rows": torch.zeros(5, 3, HIDDEN).double()}, "rows"),
    (loss, {"precision": "half"}, "precision"),
    (low_product, {"rows": torch.zeros(4, 8)}, "weights"),
    (low_product, {"weights": torch.zeros(4, 10)}, "weights"),
    (low_product, {"precision": "half"}, "precision"),
    (packed_product, {"rows": torch.zeros(4, 7)}, "packed"),
    (packed_product, {"rows": torch.zeros(4, 6).bfloat16()}, "packed"),
    (packed_product, {"rows": torch.zeros(4, 6).double()}, "rows"),
    (packed_product, {"num_columns": 65}, "packed"),
    (packing, {"W_hh": torch.zeros(HIDDEN, 3 * HIDDEN)}, "W_hh"),
    (packing, {"W_hh": torch.zeros(HIDDEN + 1, 4 * HIDDEN + 4)}, "W_"),
    (packing, {"W_xh": torch.zeros(7, 3 * HIDDEN)}, "W_xh"),
    (packing, {"W_xh": None, "W_hh": torch.zeros(HIDDEN + 1, 4 * HIDDEN + 4)}, "units"),
    (packing, {"precision": "bfloat16"}, "even"),
    (columns, {"weights": torch.zeros(7, 10)}, "even"),
    (columns, {"weights": torch.zeros(6, 10).double()}, "weights"),
    (columns, {"weights": torch.zeros(60)}, "weights"),
    (row_sums, {"gradients": torch.zeros(14, WIDTH)}, "gradients"),
    (row_sums, {"gradients": torch.zeros(15, WIDTH + 1)}, "gradients"),
    (row_sums, {"gradients": torch.zeros(WIDTH, 15).t()}, "gradients"),
    (row_sums, {"gradients": torch.zeros(15, WIDTH).double()}, "gradients"),
    (written, {"logits": torch.zeros(2, 9)}, "logits"),
    (written, {"logits": torch.zeros(2, 8).double()}, "logits"),
    (written, {"logits": torch.zeros(3, 8)}, "state"),
    (written, {"state": layers(2, 16)}, "state"),
    (written, {"state": layers(1, 10)}, "state"),
    (written, {"state": layers(2, 10)[:1]}, "state"),
    (written, {"state": tuple(layer[:1] for layer in layers(2, 10))}, "state"),
    (written, {"forbidden": 8}, "forbidden"),
    (written, {"forbidden": -1}, "forbidden"),
    (written, {"model": EQUATIONS}, "model"),
    (written, {"uniforms": torch.zeros(4, 2)}, "uniforms"),
    (written, {"uniforms": torch.zeros(4, 3).double()}, "uniforms"),
    (written, {"uniforms": torch.zeros(8).double()}, "uniforms"),
    (written_by_mixture, {"weights": np.zeros((4, 4))}, "weights"),
    (written_by_mixture, {"weights": np.zeros((3, 5))}, "weights"),
    (written_by_mixture, {"weights": np.zeros((4, 5), np.float32)}, "weights"),
    (written_by_mixture, {"ngrams": NumpyNGrams(3, 8)}, "n-grams"),
    (written_by_mixture, {"ngrams": KernelNGrams(3, 9)}, "n-grams"),
    (written_by_mixture, {"sizes": {"implementation": "equations"}}, "model"),
    (written_by_mixture, {"state": (*layers(2, 10)[:1], (torch.zeros(2, 4),))}, "history"),
    (written_by_mixture, {"state": (*layers(2, 10)[:1], (torch.zeros(1, 3),))}, "history"),
    (written_by_mixture, {"state": (*layers(2, 9)[:1], (torch.zeros(2, 3),))}, "state"),
    (written_by_mixture, {"state": ((torch.zeros(2, 3),),)}, "state"),
    (counted, {"order": -1}, "order"),
    (counted, {"vocabulary_size": 0}, "symbols"),
    (counted, {"vocabulary_size": 1 << 32}, "symbols"),
    (counted, {"numbers": (-1, 0, 4)}, "id"),
    (counted, {"numbers": (-2, 0, 1)}, "id"),
    (counted, {"numbers": (-1, -1, 1)}, "id"),
    (counted, {"numbers": np.array([0.0, 1.0])}, "ids"),
    (counted, {"numbers": np.array([[0, 1]])}, "ids"),
    (mixed, {"ids": np.array([0, 1, 2])}, "ids"),
    (mixed, {"ids": np.array([0, 1, 2, 4])}, "id"),
    (mixed, {"ids": np.array([0, 1, 2, 3], np.uint16)}, "ids"),
    (mixed, {"members": np.zeros((3, 2, 5), np.float32)}, "members"),
    (mixed, {"members": np.zeros((3, 2, 3), np.float32)}, "members"),
    (mixed, {"members": np.zeros((3, 2, 4))}, "members"),
    (mixed, {"members": np.zeros((3, 4), np.float32)}, "members"),
    (mixed, {"weights": np.zeros((2, 3))}, "weights"),
    (mixed, {"weights": np.zeros((1, 4))}, "weights"),
    (mixed, {"weights": np.zeros((2, 4), np.float32)}, "weights"),
    (mixed, {"weights": np.zeros((4, 2)).T}, "weights"),
    (mixed, {"weights": read_only(np.zeros((2, 4)))}, "weights"),
]
CALLS = [from_inputs, from_symbols, gated, loss, low_product, packed_product, columns, row_sums]


@pytest.mark.parametrize(
    "call",
    [*CALLS, written, written_by_mixture, counted, mixed],
    ids=lambda call: call.__name__,
)
def test_valid_arguments_are_computed(call: Callable[..., Any]) -> None:
    call()


@pytest.mark.parametrize(
    ("call", "changes", "name"),
    MISTAKES,
    ids=[
        f"{call.__name__}-{'-'.join(changes)}-{n}" for n, (call, changes, _) in enumerate(MISTAKES)
    ],
)
def test_bad_argument_is_named(
    call: Callable[..., Any], changes: dict[str, Any], name: str
) -> None:
    """An argument with a wrong shape, type or value is refused and named."""
    with pytest.raises(REFUSED, match=name):
        call(**changes)


sizes = st.tuples(*[st.sampled_from([1, 2, 3, 16, 17])] * 4)
changes = st.lists(st.sampled_from([0] * 12 + [-1, 1, 16]), min_size=5, max_size=5)


@given(sizes, changes, st.integers(-1, 3), st.integers(1, 3))
def test_different_sizes_are_refused(
    sizes: tuple[int, ...], changes: list[int], symbol: int, num_symbols: int
) -> None:
    """Whatever they are; and those that agree give a state of each column."""
    steps, batch, hidden, width = sizes
    own_batch, own_hidden, width_again, wide, wide_again = (
        size + change
        for size, change in zip((batch, hidden, width, hidden, hidden), changes, strict=True)
    )
    about: dict[str, Any] = {
        "W_hh": torch.zeros(hidden, 4 * wide),
        "state": (torch.zeros(own_batch, own_hidden), torch.zeros(own_batch, own_hidden)),
    }
    vectors = {
        "inputs": torch.zeros(steps, batch, width),
        "W_xh": torch.zeros(width_again, 4 * wide),
    }
    symbols = {"lookup": ids(steps, batch, highest=symbol), "inputs": None, "W_xh": None}
    for inputs, num_rows in ((vectors, 1), (symbols, num_symbols)):
        rows = torch.zeros(num_rows, 4 * wide_again)
        try:
            outputs, last = from_inputs(**about, **inputs, rows=rows)
        except REFUSED:
            in_range = inputs is vectors or 0 <= symbol < num_symbols
            agrees = not any(changes[:2] + changes[3:])  # that of the width is of vectors alone
            assert not (agrees and in_range and (inputs is symbols or not changes[2]))
        else:
            assert not any(changes[:2] + changes[3:])
            assert outputs.shape == (steps, batch, hidden)
            assert all(tensor.shape == (batch, hidden) for tensor in last)
            assert not outputs.any()


def test_strided_tensors_are_accepted() -> None:
    """A transposed view, whose copy would keep its order."""
    random = torch.Generator().manual_seed(0)
    logits, uniforms = torch.randn(2, 8, generator=random), torch.rand(4, 2, generator=random)
    states = [[torch.randn(2, 10, generator=random) for _ in range(2)] for _ in range(2)]

    def apart(tensor: Tensor) -> Tensor:
        return tensor.t().contiguous().t()

    texts = [
        written(
            change(uniforms.double()),
            logits=change(logits),
            state=tuple(tuple(change(tensor) for tensor in layer) for layer in states),
        )
        for change in (torch.clone, apart)
    ]
    assert torch.equal(*texts)
