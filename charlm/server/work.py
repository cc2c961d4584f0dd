"""Work for the worker thread: texts to generate, or a text to score, both in small pieces."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from charlm.models.openings import Opening
from charlm.models.states import AnyState, select_columns
from charlm.prediction.predictor import Predictor
from charlm.prediction.stepwise_generation import read
from charlm.prediction.text_score import TextScore, score_in_steps
from charlm.server.api_error import ApiError
from charlm.server.batch import Member, Sampling
from charlm.server.choice import Choice

_PREFIX_PIECE = 256
"""Number of characters of a prompt that are read at once; then other work has its turn."""


@dataclass(eq=False)
class Work:
    """Work of one request: it ends when nobody wants it any more, or after its time."""

    on_change: Callable[[], None]
    """Called by the worker thread when there is something new."""
    max_seconds: float
    is_wanted: bool = True
    """Set to False to give up."""
    error: ApiError | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def is_open(self) -> bool:
        return self.is_wanted and self.error is None

    @property
    def num_places(self) -> int:
        """Number of places that it takes among those at work at the same time."""
        return 1

    @property
    def is_finished(self) -> bool:
        raise NotImplementedError

    def steps(self) -> Iterator[None]:
        """Do the work, and yield after each piece of it."""
        raise NotImplementedError

    def fail(self, error: ApiError) -> None:
        """End with an error."""
        self.error = error
        self.on_change()

    def check_time(self, remedy: str) -> None:
        """End with an error, which names the remedy, if it has taken longer than it may."""
        if self.is_open and time.monotonic() - self.started > self.max_seconds:
            message = f"the request took over {self.max_seconds:g} s; {remedy}"
            self.fail(ApiError(503, message, code="timeout"))


@dataclass(eq=False)
class Generation(Work):
    """Choices that continue one prompt: it is read once, and they join a batch."""

    opening: Opening = field(kw_only=True)
    sampling: Sampling = field(kw_only=True)
    choices: list[Choice] = field(kw_only=True)
    members: list[Member] = field(default_factory=list)
    """The choices with what they start from; empty until the prompt is read."""

    @property
    def num_places(self) -> int:
        return len(self.choices)

    @property
    def is_finished(self) -> bool:
        return all(choice.finish_reason is not None for choice in self.choices)

    def steps(self) -> Iterator[None]:
        """Read the prompt."""
        model, state = self.sampling.model, self.opening.state
        for piece in torch.split(self.opening.ids, _PREFIX_PIECE):
            logits, state = read(model, piece, state)
            yield
        last = len(logits) - 1
        for number, choice in enumerate(self.choices):
            column = slice(min(number, last), min(number, last) + 1)
            own: AnyState = select_columns(state, column)
            self.members.append(Member(choice, lambda: self.is_open, logits[column], own))


@dataclass(eq=False)
class Scoring(Work):
    """A text to score."""

    predictor: Predictor = field(kw_only=True)
    text: str = field(kw_only=True)
    score: TextScore | None = None

    @property
    def is_finished(self) -> bool:
        return self.score is not None

    def steps(self) -> Iterator[None]:
        self.score = yield from score_in_steps(self.predictor, self.text)
        self.on_change()
