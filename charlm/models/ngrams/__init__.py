"""N-gram counts, their predictions, and the mixture of these with the predictions of networks.

The prediction of a context of k characters interpolates its discounted counts with the prediction
of the context of k − 1 characters (absolute discounting: Ney, Essen and Kneser, 1994). A character
is counted in the longest context first, then in shorter ones, up to the first that has counted it
before (update exclusion: Moffat, 1990). The counts of a short context are then roughly the number
of longer contexts with that character, as in Kneser-Ney smoothing. Contexts of words (see
`words`) and of the line above (see `lines`) are counted without update exclusion; each interpolates
its counts with the prediction of the longest context of characters. A match model (see `matches`)
predicts what followed the latest repetition.
"""

from charlm.kernels import compiler
from charlm.models.ngrams.compiled import KernelNGrams
from charlm.models.ngrams.interface import NGrams, nats
from charlm.models.ngrams.parts import NO_PARTS, Parts, first_weights, weights_shape
from charlm.models.ngrams.vectorized import NumpyNGrams


def make_ngrams(
    order: int,
    vocabulary_size: int,
    boundary: int | None = None,
    parts: Parts = NO_PARTS,
) -> NGrams:
    """Return empty counts: in the compiled kernels if they are available, else in numpy."""
    compiled = compiler.library() is not None
    kind = KernelNGrams if compiled else NumpyNGrams
    return kind(order, vocabulary_size, boundary, parts)


__all__ = [
    "NO_PARTS",
    "KernelNGrams",
    "NGrams",
    "NumpyNGrams",
    "Parts",
    "first_weights",
    "make_ngrams",
    "nats",
    "weights_shape",
]
