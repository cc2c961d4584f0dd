"""Decode generated ids as a stream of text or bytes that ends before a stop text."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import AnyStr

from charlm.corpus.vocabulary import Vocabulary


class StreamDecoder:
    """Incremental decoder of ids: bytes wait until they form a whole character."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, ids: Sequence[int], final: bool = False) -> str:
        if self._vocabulary.unit == "byte":
            return self._bytes.decode(bytes(ids), final)
        return self._vocabulary.decode(ids)


def decode_steps(
    steps: Iterator[list[int]],
    decode: Callable[[Sequence[int], bool], AnyStr],
    stop: AnyStr | None,
) -> Iterator[AnyStr]:
    """Yield the text of ids up to the first `stop`.

    `decode` takes ids, and whether the text ends after them.
    """

    def pieces() -> Iterator[AnyStr]:
        for ids in steps:
            if piece := decode(ids, False):
                yield piece
        if piece := decode([], True):
            yield piece

    return truncate(pieces(), stop) if stop else pieces()


def truncate(pieces: Iterator[AnyStr], stop: AnyStr) -> Iterator[AnyStr]:
    """Yield text or bytes up to the first `stop`; delay pieces that may be its beginning."""
    pending = stop[:0]
    for piece in pieces:
        pending += piece
        text, found, _ = pending.partition(stop)
        if found:
            yield text
            return
        longest = min(len(pending), len(stop) - 1)
        keep = next((n for n in range(longest, 0, -1) if pending.endswith(stop[:n])), 0)
        if len(pending) > keep:
            yield pending[: len(pending) - keep]
            pending = pending[len(pending) - keep :]
    if pending:
        yield pending
