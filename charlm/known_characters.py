"""What a run takes over from the model that it starts from: characters and weights.

The characters of a text that the model does not know are one unknown symbol. With
`corpus.vocabulary: extend` they become characters of their own: each gets a new vector and a new
output, and the known ones keep theirs.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from charlm.config import Config, CorpusConfig
from charlm.corpus import Corpus, PartName
from charlm.corpus_builder import build_corpus
from charlm.errors import ConfigError, CorpusError
from charlm.vocabulary import Vocabulary

MOST_UNKNOWN = 0.1
"""Share of a text that may be outside the vocabulary.

Beyond it about every second word has a hole, and figures flatter: "unknown" is easy to predict,
because it takes the place of many characters.
"""


def corpus_of(config: Config, known: Vocabulary | None) -> Corpus:
    """Return the corpus to train on: in the vocabulary that is known, extended if the config asks.

    Raises `CorpusError` where too much of the text is outside the vocabulary.
    """
    vocabulary = known
    if known is not None and config.corpus.vocabulary == "extend":
        vocabulary = _extended(known, config.corpus)
    corpus = build_corpus(config.corpus, vocabulary)
    _check_known(corpus, config.corpus, is_own=known is None)
    return corpus


def _extended(known: Vocabulary, config: CorpusConfig) -> Vocabulary:
    """Return a vocabulary with the characters that the text would have if none were known."""
    if "-" in (*config.paths, *config.validation_paths, *config.test_paths):
        raise ConfigError(
            "corpus.vocabulary: extend reads the text more than once: save it in a file for --text"
        )
    own = build_corpus(config.model_copy(update={"vocabulary": "keep"})).vocabulary
    return Vocabulary(tuple(sorted({*known.symbols, *own.symbols})), known.unit)


def _check_known(corpus: Corpus, config: CorpusConfig, is_own: bool) -> None:
    names: tuple[PartName, ...] = ("train",) if is_own else ("train", "validation")
    for name in names:
        part = corpus.parts[name]
        if part.num_unknown <= MOST_UNKNOWN * len(part):
            continue
        remedy = (
            f"lower corpus.minimum_count ({config.minimum_count})"
            if is_own or config.vocabulary == "extend"
            else "learn its characters with --set corpus.vocabulary=extend"
        )
        raise CorpusError(
            f"{part.num_unknown / len(part):.0%} of the characters of the {name} split are not in "
            f"the vocabulary, and a model that predicts them as unknown seems better than it is; "
            f"{remedy}"
        )


def grown(
    weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor], old: Vocabulary, new: Vocabulary
) -> dict[str, Tensor]:
    """Return the weights of a model over `old` for one over `new`, which holds all of `old`.

    What belongs to new characters is as in `fresh`, the weights of a model over `new`. Their
    outputs have those of the unknown symbol added, so that together they are about as likely as
    it is, in every context.
    """
    places = torch.from_numpy(new.encode(np.asarray(old.symbols, np.uint32)).astype(np.int64))
    if old.unknown_id is not None:
        places = torch.cat([torch.zeros(1, dtype=torch.int64), places])
    outputs = {"b_q", "W_hq" if "W_hq" in weights else "embedding"}
    result = {}
    for name, tensor in weights.items():
        target = fresh[name].cpu().clone()
        axes = [axis for axis, size in enumerate(tensor.shape) if size != target.shape[axis]]
        if not axes:  # nothing in it belongs to single characters, or there are no new ones
            result[name] = tensor
            continue
        (axis,) = axes
        if name in outputs:
            target += tensor.select(axis, 0).unsqueeze(axis)
        if name == "b_q":
            target -= math.log(len(new) - len(old))
        result[name] = target.index_copy(axis, places, tensor)
    return result
