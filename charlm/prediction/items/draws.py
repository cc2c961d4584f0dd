"""Draw items side by side, each in a column of its own, and begin the next one where one ends.

The draws are numbered, and come out in this order: in the order in which they end, the short ones
would come first, and the first items would not be distributed as the model's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.corpus.vocabulary import Ids
from charlm.models.ensemble import AnyModel
from charlm.models.states import AnyState
from charlm.prediction.generated_ids import make_generator
from charlm.prediction.items.constraint import Constraint
from charlm.prediction.items.random_numbers import uniforms
from charlm.prediction.next_character import output_not_finite

_STEPS = 4
"""Number of characters that the kernels generate before ended items are replaced."""
_MOST_WAITING = 1 << 14
"""Number of ended draws that wait for an earlier one, above which no new one begins."""


@dataclass(frozen=True)
class ItemStart:
    """The states in which items can begin, in columns, and the logits of their first characters."""

    logits: Float[Tensor, "columns vocabulary"]
    state: AnyState

    def columns(self, draws: Int64[np.ndarray, " draws"], seed: int) -> "ItemStart":
        """Return a column for each draw, by its number."""
        chosen = torch.from_numpy((draws + seed) % len(self.logits)).to(self.logits.device)
        state = tuple(tuple(t[chosen] for t in layer_state) for layer_state in self.state)
        return ItemStart(self.logits[chosen], state)


class Draws:
    """Draws from a model, in order: the ids of an item, or None if it does not fit its constraint.

    A draw ends early where it cannot fit any more, so the items that come out are distributed as
    the model's own, given the constraint. With `is_masked` characters that cannot fit are never
    drawn; the items then have another distribution.
    """

    def __init__(
        self,
        model: AnyModel,
        start: ItemStart,
        config: GenerationConfig,
        constraint: Constraint,
        seed: int,
        *,
        width: int,
        forbidden: int | None,
        first: int = 0,
        is_masked: bool = False,
    ) -> None:
        """Begin `width` draws; the first has the number `first`."""
        self._start, self._constraint, self._seed = start, constraint, seed
        self._is_masked = is_masked
        self._numbers = np.arange(first, first + width)
        self._next_to_begin, self._next_to_leave = first + width, first
        begin = start.columns(self._numbers, seed)
        self._generator = make_generator(model, begin.logits, begin.state, config, forbidden)
        self._lengths = np.full(width, len(constraint.prefix))
        self._states = np.repeat(constraint.start[:, None], width, axis=1)
        self._is_open = np.ones(width, bool)
        self._ids = np.empty((width, len(constraint.prefix) + 2 * _STEPS), np.int32)
        self._ids[:, : len(constraint.prefix)] = constraint.prefix
        self._ended: dict[int, Ids | None] = {}

    def __iter__(self) -> Iterator[list[np.ndarray | None]]:
        """Yield some draws at a time, without end."""
        while True:
            self._take_steps()
            batch = []
            while self._next_to_leave in self._ended:
                batch.append(self._ended.pop(self._next_to_leave))
                self._next_to_leave += 1
            if batch:
                yield batch
            if len(self._ended) < _MOST_WAITING:
                self._begin(np.flatnonzero(~self._is_open))
            self._states = self._constraint.renumbered(self._states)

    def _take_steps(self) -> None:
        steps = _STEPS
        if self._is_masked:
            steps = 1
            self._mask()
        if (longest := int(self._lengths.max())) + steps > self._ids.shape[1]:
            self._ids = np.pad(self._ids, ((0, 0), (0, longest)))
        numbers = uniforms(self._seed, self._numbers, self._lengths, steps)
        chosen = self._generator.generate(torch.from_numpy(numbers)).cpu().numpy()
        if (chosen < 0).any():
            raise output_not_finite()
        for ids in chosen:
            self._add(ids)

    def _mask(self) -> None:
        """Exclude the characters after which an item cannot be completed; drop stuck items."""
        allowed = self._constraint.allowed(self._states, self._lengths)
        is_stuck = np.asarray(~allowed.any(axis=1))
        self._end(np.flatnonzero(self._is_open & is_stuck), is_dropped=True)
        logits = self._generator.logits
        excluded = torch.from_numpy(~allowed & ~is_stuck[:, None])
        logits.masked_fill_(excluded.to(logits.device), -torch.inf)

    def _add(self, ids: Int64[np.ndarray, " columns"]) -> None:
        """Add the next character of each item that has not ended."""
        is_end = ids == self._constraint.boundary
        self._end(np.flatnonzero(self._is_open & is_end))
        columns = np.flatnonzero(self._is_open)
        lengths = self._lengths[columns]
        self._ids[columns, lengths] = ids[columns]
        self._lengths[columns] = lengths = lengths + 1
        states = self._constraint.advance(self._states[:, columns], ids[columns])
        self._states[:, columns] = states
        self._end(columns[self._constraint.is_hopeless(states, lengths)], is_dropped=True)

    def _end(self, columns: Int64[np.ndarray, " columns"], is_dropped: bool = False) -> None:
        self._is_open[columns] = False
        lengths = self._lengths[columns]
        is_whole = self._constraint.missing(self._states[:, columns], lengths) == 0
        for column, length, whole in zip(
            columns.tolist(), lengths.tolist(), is_whole.tolist(), strict=True
        ):
            item = self._ids[column, :length].copy() if whole and not is_dropped else None
            if item is not None and not self._constraint.accepts(item):
                item = None
            self._ended[int(self._numbers[column])] = item

    def _begin(self, columns: Int64[np.ndarray, " columns"]) -> None:
        """Begin new draws in columns whose draws have ended."""
        if not len(columns):
            return
        numbers = self._next_to_begin + np.arange(len(columns))
        self._next_to_begin += len(columns)
        self._numbers[columns] = numbers
        self._lengths[columns] = len(self._constraint.prefix)
        self._states[:, columns] = self._constraint.start[:, None]
        self._is_open[columns] = True
        begin = self._start.columns(numbers, self._seed)
        places = torch.from_numpy(columns).to(begin.logits.device)
        self._generator.restart(places, begin.logits, begin.state)
