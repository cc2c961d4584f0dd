"""One text that is generated: its random numbers, its characters, where it stops, who reads it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from charlm.corpus.records import Records
from charlm.prediction.predictor import Predictor
from charlm.prediction.text_stream import StreamDecoder

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Likeliest:
    """How likely a generated character was, and which ones were the likeliest; ln p by id."""

    nats: float
    ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Piece:
    """Generated text; a single character if it has its probability."""

    text: str
    likeliest: Likeliest | None = None


class Choice:
    """A text that is generated in pieces by one thread, and taken in pieces by another."""

    def __init__(
        self,
        predictor: Predictor,
        length: int,
        generator: torch.Generator,
        stops: Sequence[str] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.remaining = length
        self.num_generated = 0
        self.finish_reason: FinishReason | None = None
        self._generator, self._stops, self._on_change = (
            generator,
            tuple(filter(None, stops)),
            on_change,
        )
        self._decoder = StreamDecoder(predictor.vocabulary)
        self._ends = predictor.records or Records("\n", "\n")
        self._held: list[Piece] = []
        """Pieces that may be the beginning of a stop text."""
        self._pieces: list[Piece] = []

    def uniforms(self, steps: int) -> Float64[Tensor, " steps"]:
        """Return the next random numbers: the same ones whatever the sizes of the pieces."""
        return torch.rand(steps, dtype=torch.float64, generator=self._generator)

    def accept(self, ids: Sequence[int], likeliest: Sequence[Likeliest] | None = None) -> None:
        """Add generated ids, with their probabilities or without."""
        self.remaining -= len(ids)
        self.num_generated += len(ids)
        is_last = self.remaining <= 0
        if likeliest is None:
            pieces = [Piece(self._decode(ids, is_last))]
        else:
            pairs = zip(ids, likeliest, strict=True)
            pieces = [Piece(self._decode([one], False), details) for one, details in pairs]
        self._held += pieces
        emitted, is_stopped = self._release(is_last)
        self._pieces += emitted
        if is_stopped or is_last:  # after the pieces: who sees the reason can take all of them
            self.finish_reason = "stop" if is_stopped else "length"
        self._on_change()

    def take(self) -> list[Piece]:
        """Return the pieces since the last call."""
        taken = self._pieces[:]
        del self._pieces[: len(taken)]
        return taken

    def _decode(self, ids: Sequence[int], is_last: bool) -> str:
        return self._ends.write(self._decoder.decode(ids, is_last))

    def _release(self, is_last: bool) -> tuple[list[Piece], bool]:
        """Return the pieces that belong to the text, and whether a stop text ends it."""
        if not self._stops:
            released, self._held = [piece for piece in self._held if piece.text], []
            return released, False
        text = "".join(piece.text for piece in self._held)
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            end = min(found)
        elif is_last:
            end = len(text)
        else:
            end = len(text) - max(_common(text, stop) for stop in self._stops)
        released, self._held = _cut(self._held, end)
        return released, bool(found)


def _common(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


def _cut(pieces: Sequence[Piece], length: int) -> tuple[list[Piece], list[Piece]]:
    """Divide pieces after `length` characters."""
    before: list[Piece] = []
    after: list[Piece] = []
    for piece in pieces:
        head, tail = piece.text[: max(0, length)], piece.text[max(0, length) :]
        length -= len(piece.text)
        if head:
            before.append(replace(piece, text=head))
        if tail:
            after.append(replace(piece, text=tail))
    return before, after
