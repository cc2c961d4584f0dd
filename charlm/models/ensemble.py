"""The ensemble: a mixture of networks and n-gram counts with the interface of one model."""

import itertools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from charlm.config.schema import Config
from charlm.corpus.vocabulary import Ids
from charlm.files.untrusted import InvalidDataError
from charlm.kernels.loading import Precision
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import NO_PARTS, Parts, first_weights, make_ngrams, weights_shape
from charlm.models.states import ModelState
from charlm.models.weights import checked_weights

_SEPARATOR = -1
"""Id between two counted texts."""
_STORED_TYPES = (torch.int8, torch.int16, torch.int32)
"""Types of the ids of a text in a checkpoint."""


def stored_type(vocabulary_size: int) -> np.dtype[np.signedinteger[Any]]:
    """Return the smallest type for ids of a vocabulary, and for −1."""
    return np.result_type(np.min_scalar_type(-vocabulary_size), np.int8)


class Ensemble(nn.Module):
    """Networks (members) with one vocabulary, and n-gram counts, mixed by `NGrams.mix`.

    ids (time, batch) → log-probabilities (time, batch, vocabulary). The state consists of the
    members' states, and of the last characters of each column, (batch, window): their ids plus one,
    as floats, so that zeros stand for the time before the text, as in every other state.
    """

    def __init__(
        self,
        members: Sequence[LanguageModel],
        order: int,
        counted: Ids,
        weights: Tensor | None = None,
        parts: Parts = NO_PARTS,
    ) -> None:
        """Count the n-grams and other `parts` of `counted`, in which −1 separates texts.

        `weights` are the mixture weights; by default, those of `first_weights`. If the members
        have a boundary between records, so have the n-grams.
        """
        super().__init__()
        self.members: list[LanguageModel] = nn.ModuleList(members)  # type: ignore[assignment]
        self.vocabulary_size = members[0].vocabulary_size
        self.counted: Ids = np.empty(0, stored_type(self.vocabulary_size))
        """The counted texts, with −1 between two."""
        self.ngrams = make_ngrams(order, self.vocabulary_size, members[0].boundary, parts)
        counted = counted.astype(self.counted.dtype, copy=False)
        ends = np.flatnonzero(counted == _SEPARATOR)
        for start, end in pairwise([-1, *ends.tolist(), len(counted)]):
            self.count(counted[start + 1 : end])
        self.weights = (
            first_weights(order, len(members), parts) if weights is None else weights.numpy().copy()
        )

    @classmethod
    def from_tensors(
        cls,
        config: Config,
        size: int,
        tensors: dict[str, Tensor],
        boundary: int | None = None,
        parts: Parts = NO_PARTS,
    ) -> "Ensemble":
        """Build an ensemble from its `tensors()`, for a vocabulary of this size.

        Raises `InvalidDataError` for tensors that do not match such an ensemble.
        """
        with torch.device("meta"):  # no memory before the shapes are checked
            members = [
                LanguageModel(config.model, size, boundary) for _ in range(config.ensemble.size)
            ]
        order = config.ensemble.ngram_order or 0
        required = ("mixture", "counted") if config.ensemble.keep_text else ("mixture",)
        for name in required:
            if name not in tensors:
                raise InvalidDataError(f"{name} is missing")
        weights, counted = tensors["mixture"], tensors.get("counted")
        if counted is None:  # `ngram_text.count_again` counts the n-grams later
            counted = torch.zeros(0, dtype=torch.int32)
        if counted.dtype not in _STORED_TYPES or counted.ndim != 1:
            raise InvalidDataError("counted should hold ids in int8, int16 or int32")
        # As Python's integers: PyTorch compares int8 with 128 as with −128.
        if len(counted) and not _SEPARATOR <= int(counted.min()) <= int(counted.max()) < size:
            raise InvalidDataError("counted should hold ids of the vocabulary")
        shape = weights_shape(order, len(members), parts)
        if weights.dtype is not torch.float64 or weights.shape != shape:
            raise InvalidDataError(f"mixture should hold {shape} numbers in float64")
        if not weights.isfinite().all():
            raise InvalidDataError("mixture should hold finite numbers")
        ensemble = cls(members, order, counted.numpy(), weights, parts)
        networks = {k: t for k, t in tensors.items() if k.startswith("members.")}
        ensemble.load_state_dict(checked_weights(ensemble, networks), assign=True)
        return ensemble

    def tensors(self) -> dict[str, Tensor]:
        """Return all its tensors; without n-grams, the counted ids are sorted."""
        counted = self.counted
        if not self.ngrams.order:
            counted = np.sort(counted[counted != _SEPARATOR])
        tensors = {"counted": torch.from_numpy(counted), "mixture": torch.from_numpy(self.weights)}
        return self.state_dict() | tensors

    @property
    def boundary(self) -> int | None:
        """The id before each record, at which the members forget all before it, if there is one."""
        return self.members[0].boundary

    @property
    def precision(self) -> Precision:
        return self.members[0].precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        for member in self.members:
            member.precision = precision

    @property
    def device(self) -> torch.device:
        return self.members[0].device

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the networks."""
        return sum(member.num_parameters for member in self.members)

    def initial_state(self, batch_size: int) -> ModelState:
        """Return the state before the first character."""
        states = [state for member in self.members for state in member.initial_state(batch_size)]
        return (*states, (torch.zeros(batch_size, self.ngrams.window, device=self.device),))

    def state_after(self, before: Int64[Tensor, "history batch"]) -> ModelState:
        """Return the initial state, but with these ids before the inputs (−1: no text there)."""
        return (*self.initial_state(before.shape[1])[:-1], (self._last(before),))

    def forward(
        self, inputs: Int64[Tensor, "time batch"], state: ModelState
    ) -> tuple[Float[Tensor, "time batch vocabulary"], ModelState]:
        """Read characters; return the log-probabilities of each next one, and the new state."""
        predictions, states = self.predictions(inputs, state[:-1])
        history = self._history(inputs, state)
        ids = np.ascontiguousarray(torch.nn.functional.pad(history[1:], (0, 0, 0, 1)).t().cpu())
        columns = [
            self.ngrams.mix(column, predictions[:, number], self.weights)
            for number, column in enumerate(ids)
        ]
        mixed = torch.from_numpy(np.stack(columns, axis=1)).to(inputs.device)
        return mixed, (*states, (self._last(history),))

    def advance(self, inputs: Int64[Tensor, "time batch"], state: ModelState) -> ModelState:
        """Read characters from `state`; return only the new state."""
        states = list[tuple[Tensor, ...]]()
        for member, own in self.with_states(state[:-1]):
            states += member.advance(inputs, own)
        return (*states, (self._last(self._history(inputs, state)),))

    def with_states(self, states: ModelState) -> Iterator[tuple[LanguageModel, ModelState]]:
        """Yield each member with its own states of the `states` of all members."""
        layer_states = iter(states)
        for member in self.members:
            yield member, tuple(itertools.islice(layer_states, len(member.layers)))

    def _history(
        self, inputs: Int64[Tensor, "time batch"], state: ModelState
    ) -> Int64[Tensor, "history batch"]:
        """Return the last ids before the inputs, then the inputs."""
        return torch.cat([state[-1][0].t().long() - 1, inputs])

    def _last(self, history: Int64[Tensor, "history batch"]) -> Float[Tensor, "batch window"]:
        """Return the last ids in the format of the state."""
        return (history[len(history) - self.ngrams.window :].t() + 1).float()

    def predictions(
        self, inputs: Int64[Tensor, "time batch"], state: ModelState
    ) -> tuple[np.ndarray, ModelState]:
        """Return the log-probabilities of all members, and their new states.

        The log-probabilities have the shape (time, batch, members, vocabulary).
        """
        predictions, states = [], list[tuple[Tensor, ...]]()
        for member, own in self.with_states(state):
            logits, new = member(inputs, own)
            predictions.append(logits.log_softmax(dim=2))
            states += new
        return torch.stack(predictions, dim=2).detach().cpu().numpy(), tuple(states)

    def count(self, text: Ids) -> None:
        """Count the n-grams of a text as a new text, without context before it."""
        text = text.astype(self.counted.dtype, copy=False)
        before = np.full(self.ngrams.window, -1, text.dtype)
        self.ngrams.count(np.concatenate([before, text]))
        self.note_counted(text)

    def note_counted(self, text: Ids) -> None:
        """Store a text whose n-grams are already counted."""
        kind = self.counted.dtype
        separator = np.full(min(1, len(self.counted)), _SEPARATOR, kind)
        self.counted = np.concatenate([self.counted, separator, text.astype(kind, copy=False)])


AnyModel = LanguageModel | Ensemble
