"""The section `model`: the network."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from charlm.config.sections.section import Section
from charlm.config.values import Size


class ModelConfig(Section):
    """The network."""

    cell: Literal["rnn", "gru", "lstm", "mogrifier"] = "lstm"
    """The recurrent cell of every layer."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """φ of the `rnn` cell; other cells do not use it."""
    num_layers: Annotated[int, Field(gt=0, le=100)] = 1
    """Number of layers; each reads the hidden states of the layer below."""
    hidden_size: Size = 256
    """Number of units in the hidden state of a layer."""
    embedding_size: Size | None = 64
    """Size of the embedding of a character; null means one-hot vectors, as in the book."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability of dropping a unit between layers and before the softmax layer."""
    locked_dropout: bool = False
    """Drop the same units at all time steps of a batch, instead of new units at each step."""
    embedding_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability of dropping a component of a character's embedding everywhere in a batch."""
    tie_weights: bool = False
    """Use the embedding's weights in the softmax layer; needs embedding_size = hidden_size."""
    initialization: Literal["uniform", "orthogonal", "normal"] = "uniform"
    """Initial weights. `uniform`: within ±1/√hidden_size. `orthogonal`: the same, with orthogonal
    W_hh. Both set b_q to the logarithms of the character frequencies. `normal`: N(0, 0.01²) and
    biases 0, as in the book."""
    implementation: Literal["fused", "equations"] = "fused"
    """`fused` is the fastest implementation, `equations` computes the book's formulas step by step;
    the results are the same."""

    @model_validator(mode="after")
    def _check_tying(self) -> "ModelConfig":
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise ValueError("tie_weights needs embedding_size equal to hidden_size")
        return self
