"""The section `batches`: how the text is divided into batches."""

from typing import Literal

from charlm.config.sections.section import Section
from charlm.config.values import Fraction, Size


class BatchesConfig(Section):
    """How the text is divided into batches, with the two sampling methods of the book."""

    sampling: Literal["random", "sequential"] = "sequential"
    """`random`: shuffled segments, each with a new state. `sequential`: long columns, whose state
    continues from batch to batch."""
    batch_size: Size = 32
    """Number of columns in a batch: segments that are read in parallel."""
    sequence_length: Size = 64
    """Time steps of a segment, through which gradients flow."""
    random_offset: bool = True
    """Start each epoch at a random offset. Otherwise every epoch has the same segments and columns,
    as in the book's random sampling."""
    reset_probability: Fraction = 0.0
    """Probability that a sequential batch starts from a new state. With 0, a network may rely on
    the state of a whole epoch, and predict the beginning of a new text badly."""
    hapax_dropout: Fraction = 0.0
    """Probability that a rare character is read as the unknown symbol, redrawn in each epoch.
    A rare character occurs in the training split fewer than twice `corpus.minimum_count` times
    (once, by default). With 0, a network never learns where unknown characters occur."""
