"""The language model: characters → embedding → recurrent cells → softmax layer."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells import CELLS, Cell, LSTMCell, ReLUCell, State
from charlm.config import ModelConfig
from charlm.errors import ConfigError

ModelState = tuple[State, ...]
"""The state of every layer, from the lowest up."""


class LanguageModel(nn.Module):
    """A character-level recurrent language model.

    Its output at a step are the logits of the next character, given every character so far:
    `O_t = H_t W_hq + b_q` for the hidden state `H_t` of the highest layer. The state is the
    caller's to carry.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        hidden_size = config.hidden_size
        input_size = config.embedding_size or vocabulary_size
        self.embedding = (
            nn.Parameter(torch.empty(vocabulary_size, input_size))
            if config.embedding_size
            else None
        )
        cell = (
            ReLUCell
            if (config.cell, config.nonlinearity) == ("rnn", "relu")
            else CELLS[config.cell]
        )
        self.layers: list[Cell] = nn.ModuleList(  # type: ignore[assignment] # a list of cells to us
            cell(size, hidden_size, config.implementation)
            for size in [input_size] + [hidden_size] * (config.num_layers - 1)
        )
        self.W_hq = (
            None if config.tie_weights else nn.Parameter(torch.empty(hidden_size, vocabulary_size))
        )
        self.b_q = nn.Parameter(torch.zeros(vocabulary_size))

    @property
    def device(self) -> torch.device:
        return self.b_q.device

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights, in the way that the config names.

        `normal` is the book's N(0, 0.01²) with biases zero. `orthogonal` keeps the length of the
        hidden state over many steps (Saxe and others, 2014), and opens an LSTM's forget gate with
        a bias of 1 (Jozefowicz and others, 2015).
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            elif self.config.initialization == "normal":
                nn.init.normal_(parameter, std=0.01, generator=generator)
            elif name == "embedding":
                nn.init.normal_(
                    parameter, std=1 / math.sqrt(parameter.shape[1]), generator=generator
                )
            elif name.endswith("W_hh"):
                for gate in parameter.data.chunk(parameter.shape[1] // parameter.shape[0], dim=1):
                    gate.copy_(nn.init.orthogonal_(torch.empty_like(gate), generator=generator))
            else:
                bound = 1 / math.sqrt(self.config.hidden_size)
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        if self.config.initialization == "orthogonal":
            for layer in self.layers:
                if isinstance(layer, LSTMCell):
                    layer.b_h.data.view(4, -1)[1] = 1.0

    def initial_state(self, batch_size: int) -> ModelState:
        """Return the state before the first character: zeros."""
        return tuple(layer.initial_state(batch_size) for layer in self.layers)

    def forward(
        self,
        inputs: Int64[Tensor, "time batch"],
        state: ModelState,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "time batch vocabulary"], ModelState]:
        """Read characters on from `state`; return the logits of each next one, and the new state.

        `generator` draws the dropout masks while the model is in training mode.
        """
        dropout = self.config.dropout if self.training else 0.0
        if self.embedding is not None:
            hidden = F.embedding(inputs, self.embedding)
        else:
            hidden = F.one_hot(inputs, self.vocabulary_size).to(self.b_q.dtype)
        new_state = []
        for layer, layer_state in zip(self.layers, state, strict=True):
            hidden, layer_state = layer(hidden, layer_state)  # noqa: PLW2901
            hidden = drop(hidden, dropout, generator)
            new_state.append(layer_state)
        W_hq = self.W_hq if self.W_hq is not None else self.embedding.t()  # type: ignore[union-attr]
        return hidden @ W_hq + self.b_q, tuple(new_state)


def drop(
    hidden: Float[Tensor, "time batch hidden"],
    probability: float,
    generator: torch.Generator | None,
) -> Float[Tensor, "time batch hidden"]:
    """Zero units at random and scale up the rest (dropout: Srivastava and others, 2014).

    PyTorch's own dropout draws from the global generator, which cannot be saved with a run.
    """
    if probability == 0.0:
        return hidden
    kept = torch.empty_like(hidden).bernoulli_(1 - probability, generator=generator)
    return hidden * kept / (1 - probability)


def detach(state: ModelState) -> ModelState:
    """Cut a state off from the graph that made it: gradients stop at this step."""
    return tuple(tuple(tensor.detach() for tensor in layer_state) for layer_state in state)


def choose_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA, then MPS, then the CPU. Raises `ConfigError`."""
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_present in present.items() if is_present)
    if not present.get(name):
        raise ConfigError(
            f"device {name}: not on this machine; set training.device or --device to auto"
        )
    return torch.device(name)
