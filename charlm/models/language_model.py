"""The language model: characters → embedding → recurrent cells → softmax layer."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from charlm.config.schema import ModelConfig
from charlm.kernels.cross_entropy import Targets, cross_entropy
from charlm.kernels.loading import Precision, precision_here
from charlm.kernels.products import product
from charlm.kernels.threads import only_kernels_share
from charlm.models.cells import CELLS, Cell, LSTMCell, ReLUCell
from charlm.models.dropout import Masks, drop_units, drop_vectors
from charlm.models.states import ModelState
from charlm.models.weights import draw_weights, unset_weights


class LanguageModel(nn.Module):
    """A character-level recurrent language model: ids (time, batch) → logits of the next ids.

    The logits are `O_t = H_t W_hq + b_q`, of shape (time, batch, vocabulary), for the hidden state
    `H_t` of the highest layer. The caller passes the state from one call to the next.
    """

    def __init__(
        self, config: ModelConfig, vocabulary_size: int, boundary: int | None = None
    ) -> None:
        """With a `boundary`, the id before each record, the network forgets all before that id."""
        super().__init__()
        self.config = config
        self.boundary = boundary
        self.vocabulary_size = vocabulary_size
        hidden_size = config.hidden_size
        input_size = config.embedding_size or vocabulary_size
        self.embedding = (
            unset_weights(vocabulary_size, input_size) if config.embedding_size else None
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
        self.W_hq = None if config.tie_weights else unset_weights(hidden_size, vocabulary_size)
        self.b_q = nn.Parameter(torch.zeros(vocabulary_size))

    @property
    def precision(self) -> Precision:
        """Actual precision of the operands of products; states and parameters are in float32.

        It can be set, but only the compiled kernels compute in bfloat16. `computing_in` overrides
        it within a block.
        """
        return precision_here(self.layers[0].precision) if self.is_compiled() else "float32"

    @precision.setter
    def precision(self, precision: Precision) -> None:
        for layer in self.layers:
            layer.precision = precision

    @contextmanager
    def temporary_weights(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Use other weights within the block, by parameters' names; none is copied."""
        own_weights = {name: parameter.data for name, parameter in self.named_parameters()}
        try:
            for name, parameter in self.named_parameters():
                parameter.data = weights[name].to(parameter.device)
            yield
        finally:
            for name, parameter in self.named_parameters():
                parameter.data = own_weights[name]

    @property
    def device(self) -> torch.device:
        return self.b_q.device

    @property
    def output_weights(self) -> Float[Tensor, "hidden vocabulary"]:
        """W_hq; with tied weights, the transposed embedding."""
        return self.W_hq if self.W_hq is not None else self.embedding.t()  # type: ignore[union-attr]

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the model."""
        return self.state_dict()

    def digest(self) -> str:
        """Return the SHA-256 of the weights."""
        digest = hashlib.sha256()
        for tensor in self.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def is_compiled(self) -> bool:
        """Return whether the compiled kernels run this model on the device of its parameters."""
        fused = self.config.implementation == "fused"
        return fused and all(layer.is_compiled() for layer in self.layers)

    def initialize(
        self,
        generator: torch.Generator,
        frequencies: Float[Tensor, " vocabulary"] | None = None,
    ) -> None:
        """Draw initial weights in the way that `model.initialization` names; biases are zero.

        `normal`: N(0, 0.01²), as in the book. `uniform`: U(−1/√hidden, 1/√hidden), and N(0, 1) for
        the embedding, so that at first the cells depend more on their input than on their state;
        the bias of an LSTM's forget gate is 1 (Jozefowicz and others, 2015). `orthogonal`: the
        same, with orthogonal recurrent matrices (Saxe and others, 2014). With the characters'
        `frequencies`, b_q is their logarithm, except for `normal`: the network then starts by
        predicting the frequencies.
        """
        for name, parameter in self.named_parameters():
            draw_weights(name, parameter, self.config, generator)
        if self.config.initialization != "normal":
            for layer in self.layers:
                if isinstance(layer, LSTMCell):
                    with torch.no_grad():
                        layer.b_h.view(4, -1)[1] = 1.0
            if frequencies is not None:
                with torch.no_grad():
                    self.b_q.copy_(frequencies.log())

    def initial_state(self, batch_size: int) -> ModelState:
        """Return the state before the first character: zeros."""
        return tuple(layer.initial_state(batch_size) for layer in self.layers)

    def forward(
        self,
        inputs: Int64[Tensor, "time batch"],
        state: ModelState,
        masks: Masks | None = None,
    ) -> tuple[Float[Tensor, "time batch vocabulary"], ModelState]:
        """Read characters from `state`; return the logits of each next one, and the new state.

        `masks` draws the dropout masks in training mode.
        """
        with only_kernels_share(self.is_compiled()):
            hidden, new_state = self._read(inputs, state, masks)
            return product(hidden, self.output_weights, self.precision) + self.b_q, new_state

    def advance(self, inputs: Int64[Tensor, "time batch"], state: ModelState) -> ModelState:
        """Read characters from `state`; return only the new state."""
        return self.hidden_states(inputs, state)[1]

    def hidden_states(
        self, inputs: Int64[Tensor, "time batch"], state: ModelState
    ) -> tuple[Float[Tensor, "time batch hidden"], ModelState]:
        """Read characters; return the highest layer's hidden states, and the new state of all."""
        with only_kernels_share(self.is_compiled()):
            return self._read(inputs, state, None)

    def loss(
        self,
        inputs: Int64[Tensor, "time batch"],
        targets: Targets,
        state: ModelState,
        masks: Masks | None = None,
    ) -> tuple[Float[Tensor, ""], ModelState]:
        """Return the mean cross-entropy of all predictions in nats, and the new state.

        `targets` are the characters' ids, or distributions over the vocabulary.
        """
        with only_kernels_share(self.is_compiled()):
            hidden, new_state = self._read(inputs, state, masks)
            return self._cross_entropy(hidden, targets), new_state

    def distillation_loss(
        self,
        inputs: Int64[Tensor, "time batch"],
        distributions: Float[Tensor, "time batch vocabulary"],
        targets: Int64[Tensor, "time batch"],
        state: ModelState,
        masks: Masks | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], ModelState]:
        """Return the mean cross-entropies with distributions and with ids, and the new state.

        Both are of the same predictions, in nats. Only the first has gradients.
        """
        with only_kernels_share(self.is_compiled()):
            hidden, new_state = self._read(inputs, state, masks)
            loss = self._cross_entropy(hidden, distributions)
            with torch.no_grad():
                return loss, self._cross_entropy(hidden, targets), new_state

    def _cross_entropy(
        self, hidden: Float[Tensor, "time batch hidden"], targets: Targets
    ) -> Float[Tensor, ""]:
        return cross_entropy(hidden, self.output_weights, self.b_q, targets, self.precision)

    def _read(
        self,
        inputs: Int64[Tensor, "time batch"],
        state: ModelState,
        masks: Masks | None,
    ) -> tuple[Float[Tensor, "time batch hidden"], ModelState]:
        """Return the hidden states of the highest layer, after dropout, and the new state."""
        vectors: Tensor | None = self.embedding
        if vectors is not None and self.training:
            vectors = drop_vectors(vectors, self.config.embedding_dropout, masks)
        lowest, *higher = self.layers
        resets = None if self.boundary is None else inputs == self.boundary
        hidden, lowest_state = lowest.read(inputs, vectors, state[0], resets)
        new_state = [lowest_state]
        for layer, layer_state in zip(higher, state[1:], strict=True):
            hidden, end_state = layer(self._drop(hidden, masks), layer_state, resets)
            new_state.append(end_state)
        return self._drop(hidden, masks), tuple(new_state)

    def _drop(
        self, hidden: Float[Tensor, "time batch hidden"], masks: Masks | None
    ) -> Float[Tensor, "time batch hidden"]:
        config = self.config
        if not self.training:
            return hidden
        return drop_units(hidden, config.dropout, masks, over_time=config.locked_dropout)
