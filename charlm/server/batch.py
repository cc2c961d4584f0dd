"""Choices that the kernels generate side by side, because they are sampled in the same way."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.models.ensemble import AnyModel
from charlm.models.states import AnyState, join_columns
from charlm.prediction.generated_ids import make_generator
from charlm.prediction.next_character import output_not_finite
from charlm.prediction.sample_generator import SampleGenerator
from charlm.server.choice import Choice, Likeliest

_FIRST_STEPS = 4
_MOST_STEPS = 4_096
_LEAST_USED = 0.25
"""Least share of a slice in which it computes, even if other programs use the cores, too."""


@dataclass(frozen=True)
class Sampling:
    """The model of a choice, and how its characters are drawn: choices alike share a batch."""

    model: AnyModel
    config: GenerationConfig
    forbidden: int | None
    """The id that is never drawn: the unknown symbol."""
    num_likeliest: int | None
    """Number of the likeliest characters that are recorded; None: no probabilities."""

    @property
    def key(self) -> Hashable:
        drawn = self.config.model_dump(exclude={"prefix", "length"})
        return (id(self.model), self.num_likeliest, *drawn.values())


@dataclass(frozen=True)
class Member:
    """A choice in a batch, and what its request says about it."""

    choice: Choice
    is_wanted: Callable[[], bool]
    """Returns whether somebody still reads it."""
    logits: Float[Tensor, "1 vocabulary"]
    state: AnyState

    @property
    def is_running(self) -> bool:
        return self.choice.finish_reason is None and self.is_wanted()


class Batch:
    """Choices that join, are generated together, and leave when they end.

    The generator is made anew when they change, from the states of those that remain: so it never
    computes columns that nobody reads.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._members: list[Member] = []
        self._joining: list[Member] = []
        self._generator: SampleGenerator | None = None
        self._steps = float(_FIRST_STEPS)

    @property
    def is_running(self) -> bool:
        return any(member.is_running for member in (*self._members, *self._joining))

    @property
    def choices(self) -> list[Choice]:
        return [member.choice for member in (*self._members, *self._joining)]

    def join(self, member: Member) -> None:
        self._joining.append(member)

    def advance(self, seconds: float) -> None:
        """Generate for about `seconds`, at least a character of each choice.

        On a busy machine it takes longer: each slice has fixed costs, which would be most of the
        work in a very short one. Raises `DivergenceError` if the model's output is not finite.
        """
        self._change_members()
        if self._generator is None:
            return
        num_steps = min(member.choice.remaining for member in self._members)
        num_steps = max(1, min(num_steps, int(self._steps)))
        start, used = time.perf_counter(), time.thread_time()
        uniforms = [member.choice.uniforms(num_steps) for member in self._members]
        self._generate(self._generator, torch.stack(uniforms, dim=1))
        taken, used = time.perf_counter() - start, time.thread_time() - used
        taken = max(min(taken, used / _LEAST_USED), 1e-6)
        possible = min(num_steps * seconds / taken, _MOST_STEPS)
        self._steps = max(1.0, min(possible, 2 * self._steps))

    def _generate(self, generator: SampleGenerator, uniforms: Tensor) -> None:
        if self._sampling.num_likeliest is None:
            texts = generator.generate(uniforms).T.tolist()
            _check(texts)
            for member, column in zip(self._members, texts, strict=True):
                member.choice.accept(column)
            return
        steps, likeliest = [], []
        for numbers in uniforms:
            logits = generator.logits.float().cpu().clone()
            steps.append(generator.generate(numbers.unsqueeze(0))[0].cpu())
            _check([steps[-1].tolist()])
            likeliest.append(self._likeliest(logits, steps[-1], self._sampling.num_likeliest))
        ids = torch.stack(steps)
        columns = zip(self._members, ids.T.tolist(), zip(*likeliest, strict=True), strict=True)
        for member, column, details in columns:
            member.choice.accept(column, details)

    def _likeliest(
        self, logits: Float[Tensor, "choices vocabulary"], ids: Int64[Tensor, " choices"], k: int
    ) -> list[Likeliest]:
        """Return the model's probabilities, before temperature and filters."""
        if self._sampling.forbidden is not None:
            logits[:, self._sampling.forbidden] = -torch.inf
            k = min(k, logits.shape[1] - 1)
        nats = logits.double().log_softmax(dim=1)
        own = nats.gather(1, ids.unsqueeze(1)).squeeze(1).tolist()
        top = nats.topk(min(k, nats.shape[1]), dim=1)
        rows = zip(own, top.indices.tolist(), top.values.tolist(), strict=True)
        return [Likeliest(nat, tuple(best), tuple(values)) for nat, best, values in rows]

    def _change_members(self) -> None:
        """Let choices join and leave."""
        kept = [number for number, one in enumerate(self._members) if one.is_running]
        joining = [member for member in self._joining if member.is_running]
        is_same = len(kept) == len(self._members) and not joining
        self._joining.clear()
        if is_same:
            return
        columns = torch.tensor(kept, dtype=torch.long)
        logits: list[Tensor] = [member.logits for member in joining]
        states: list[AnyState] = [member.state for member in joining]
        if self._generator is not None and kept:
            logits.insert(0, self._generator.logits[columns])
            states.insert(0, self._generator.state(columns))
        self._members = [self._members[number] for number in kept] + joining
        self._generator = self._make(logits, states) if self._members else None

    def _make(self, logits: Sequence[Tensor], states: Sequence[AnyState]) -> SampleGenerator:
        sampling = self._sampling
        return make_generator(
            sampling.model,
            torch.cat(list(logits)),
            join_columns(states),
            sampling.config,
            sampling.forbidden,
        )


def _check(columns: Sequence[Sequence[int]]) -> None:
    if any(min(ids) < 0 for ids in columns):
        raise output_not_finite()
