"""The opening of a generated text: the state and the ids from which generation starts.

A model of records starts with the boundary before a record. Other models read the prefix from the
zero state. Without a prefix, it starts in the state
after a passage of training text that ends with a paragraph (or a record, a line, a sentence, a
word). It does not start in the zero state, because a network that carries its state through the
text is hardly ever trained there, and may generate noise.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.files.untrusted import InvalidDataError
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.states import AnyState

_NUM_PASSAGES = 16
_PASSAGE_CHARACTERS = 256
_WINDOW_CHARACTERS = 4096
"""Size of the window in which the end of a passage is searched."""
_SEED_OF_PASSAGES = 0x0BE61
"""Separates the random numbers of passages from others of the same seed."""
_NEWLINE = r"(?:\r\n|\n|\r(?!\n))"
_ENDS = (
    rf"{_NEWLINE}(?:[ \t]*{_NEWLINE})+",  # a blank line, or several
    _NEWLINE,
    r"[.!?…][\"'”’»)\]]*\s+|[。！？][”’」』）]*",
    r"\s+",
    r"(?s:.)",
)
"""Patterns of the end of a passage; the first one that matches in a window is used."""


@dataclass(frozen=True)
class Opening:
    """The ids that generation reads first, and the state before them, in columns."""

    ids: Int64[Tensor, "time columns"]
    state: AnyState

    @classmethod
    def of_prefix(cls, model: AnyModel, prefix: Ids) -> "Opening":
        """Return an opening with one column, which reads a prefix from the zero state.

        A model of records reads the boundary before it.
        """
        if model.boundary is not None:
            prefix = np.append(model.boundary, prefix)
        ids = torch.from_numpy(prefix.astype(np.int64)).unsqueeze(1)
        return cls(ids.to(model.device), model.initial_state(1))

    @classmethod
    def of_passages(
        cls, model: AnyModel, passages: Int64[Tensor, "time passages"]
    ) -> "Opening | None":
        """Read passages from the zero state, all but the last id of each.

        Passages whose state is not finite are dropped. Returns None if no passage remains. A model
        of records needs none: it reads the boundary.
        """
        if model.boundary is not None:
            return cls.of_prefix(model, np.zeros(0, np.int64))
        passages = passages.to(model.device)
        model.eval()
        with torch.no_grad(), computing_in("float32"):
            state = model.advance(passages[:-1], model.initial_state(passages.shape[1]))
        finite = torch.ones(passages.shape[1], dtype=torch.bool, device=passages.device)
        for tensor in _tensors_of(state):
            finite &= tensor.isfinite().all(dim=1)
        opening = cls(passages[-1:], state)
        return opening.columns(finite.nonzero().flatten().tolist()) if finite.any() else None

    @classmethod
    def of_tensors(cls, model: AnyModel, tensors: Mapping[str, Tensor]) -> "Opening | None":
        """Restore the opening from its `tensors()`; raises `InvalidDataError` for invalid ones."""
        if not tensors:
            return None
        ids = tensors.get("ids", torch.empty(0))
        if ids.dtype is not torch.int64 or ids.ndim != 1 or not 0 < len(ids) <= _NUM_PASSAGES:
            raise InvalidDataError(f"opening.ids should hold 1 to {_NUM_PASSAGES} ids in int64")
        if (ids < 0).any() or (ids >= model.vocabulary_size).any():
            raise InvalidDataError("opening.ids should hold ids of the vocabulary")
        names = _names(model.initial_state(len(ids)))
        if {"ids", *names} != set(tensors):
            raise InvalidDataError("opening should hold a state for each layer")
        for name, tensor in names.items():
            _check_state(f"opening.{name}", tensors[name], tensor.shape)
        state = tuple(
            tuple(
                tensors[f"{layer}.{number}"].to(model.device) for number in range(len(layer_state))
            )
            for layer, layer_state in enumerate(model.initial_state(1))
        )
        if isinstance(model, Ensemble):
            history = state[-1][0]  # ids plus one, zero before the text
            if (history != history.floor()).any() or not _within(history, model.vocabulary_size):
                raise InvalidDataError("opening should hold ids of the vocabulary before a passage")
        return cls(ids.unsqueeze(0).to(model.device), state)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors for a checkpoint: the states, and only the last id of each passage."""
        return {"ids": self.ids[-1], **_names(self.state)}

    def columns(self, numbers: Sequence[int]) -> "Opening":
        """Return an opening with the numbered columns."""
        chosen = torch.tensor(numbers, device=self.ids.device)
        state = tuple(tuple(t[chosen] for t in layer_state) for layer_state in self.state)
        return Opening(self.ids[:, chosen], state)

    def for_samples(self, seed: int, num_samples: int) -> "Opening":
        """Return a column for each sample; it depends on the seed and the sample's number only."""
        count = self.ids.shape[1]
        return self.columns([(seed + number) % count for number in range(num_samples)])


def choose_passages(ids: Ids, vocabulary: Vocabulary, seed: int) -> Int64[Tensor, "time passages"]:
    """Choose passages of a text that end with a paragraph, or else with a line, sentence or word.

    The seed determines where it searches. It reads only windows of the text.
    """
    length = min(_PASSAGE_CHARACTERS, max(2, len(ids) // 2))
    random = np.random.default_rng([seed, _SEED_OF_PASSAGES])
    passages = np.empty((length, _NUM_PASSAGES), np.int64)
    for column in range(_NUM_PASSAGES):
        first = int(random.integers(length, max(length, len(ids) - _WINDOW_CHARACTERS) + 1))
        window = np.asarray(ids[first : first + _WINDOW_CHARACTERS])
        end = first + int(random.choice(_ends(_text_of(window, vocabulary))))
        passages[:, column] = ids[end - length : end]
    return torch.from_numpy(passages)


def _text_of(window: Ids, vocabulary: Vocabulary) -> str:
    """Decode ids to a text with one character per id, also for bytes."""
    if vocabulary.unit == "byte":
        return window.astype(np.uint8).tobytes().decode("latin-1")
    return vocabulary.decode(window)


def _ends(text: str) -> list[int]:
    """Return the positions in a text at which a passage can end."""
    for pattern in _ENDS:
        ends = [found.end() for found in re.finditer(pattern, text)]
        if ends := [end for end in ends if end < len(text)]:
            return ends
    return [0]


def _names(state: AnyState) -> dict[str, Tensor]:
    return {
        f"{layer}.{number}": tensor
        for layer, layer_state in enumerate(state)
        for number, tensor in enumerate(layer_state)
    }


def _tensors_of(state: AnyState) -> list[Tensor]:
    return [tensor for layer_state in state for tensor in layer_state]


def _check_state(name: str, tensor: Tensor, shape: torch.Size) -> None:
    if tensor.dtype is not torch.float32 or tensor.shape != shape:
        raise InvalidDataError(f"{name} should hold {tuple(shape)} numbers in float32")
    if not tensor.isfinite().all():
        raise InvalidDataError(f"{name} should hold finite numbers")


def _within(history: Tensor, vocabulary_size: int) -> bool:
    return bool(((history >= 0) & (history <= vocabulary_size)).all())
