"""Compress a file with an integer network, and decompress it on any machine."""

import codecs
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase

import numpy as np

from charlm.corpus.vocabulary import Symbols, Vocabulary, code_points
from charlm.errors import CharlmError
from charlm.files.untrusted import InvalidDataError
from charlm.portable import symbols as coding
from charlm.portable.compiled_steps import steps_of
from charlm.portable.compressed_file import (
    CODED,
    CODED_WINDOWS,
    STORED,
    Block,
    check_end,
    read_block,
    read_header,
    write_block,
    write_end,
    write_header,
)
from charlm.portable.model_bytes import digest_of
from charlm.portable.network import IntegerNetwork

_PIECE_BYTES = 500_000
"""Bytes of a block; with a character that the previous piece cut, fewer
symbols than a block may have."""


@dataclass
class Totals:
    """Sizes so far, for a progress display and a report."""

    num_bytes: int = 0
    """Bytes of the original file."""
    num_symbols: int = 0
    num_unknown: int = 0
    """Characters outside the vocabulary."""


def compress(
    source: BufferedIOBase,
    target: BufferedIOBase,
    network: IntegerNetwork,
    *,
    with_model: bool = False,
) -> Iterator[Totals]:
    """Compress `source` to `target`; yield totals after each block of half a megabyte, and at last.

    Memory does not grow with the file. With the model, the result can be decompressed alone.
    """
    write_header(target, network, with_model=with_model)
    steps, vocabulary = steps_of(network), network.vocabulary
    totals, digest = Totals(), hashlib.sha256()
    for symbols, is_windows in _blocks(_pieces(source, digest.update, totals), vocabulary):
        ids = vocabulary.encode(symbols)
        data = coding.encode(steps, vocabulary, symbols, ids)
        kind = CODED_WINDOWS if is_windows else CODED
        original = _bytes_of(symbols, vocabulary, kind)
        if len(data) >= len(original):
            data, kind, steps = original, STORED, steps_of(network)
        write_block(target, Block(len(symbols), kind, data))
        totals.num_symbols += len(symbols)
        if vocabulary.unknown_id is not None:
            totals.num_unknown += int((ids == vocabulary.unknown_id).sum())
        yield totals
    write_end(target, digest.digest())
    yield totals


def decompress(
    source: BufferedIOBase, target: BufferedIOBase, find_network: Callable[[bytes], IntegerNetwork]
) -> Iterator[Totals]:
    """Decompress `source` to `target`; yield the totals after each block, and at last.

    `find_network` returns the model with a digest, for a file that does not contain it. Raises
    `CharlmError` for another model, and for a damaged file. Each block is checked before it is
    written, but only the end shows that the whole file is right.
    """
    try:
        yield from _decompress(source, target, find_network)
    except InvalidDataError as reason:
        raise CharlmError(f"cannot be decompressed: {reason}; use a copy") from None


def _decompress(
    source: BufferedIOBase, target: BufferedIOBase, find_network: Callable[[bytes], IntegerNetwork]
) -> Iterator[Totals]:
    expected, stored = read_header(source)
    network = stored or find_network(expected)
    if (found := digest_of(network)) != expected:
        raise CharlmError(
            f"compressed with the model {expected.hex()}, and this one is {found.hex()}; name the "
            "run or checkpoint with --run"
        )
    steps, vocabulary = steps_of(network), network.vocabulary
    totals, digest = Totals(), hashlib.sha256()
    while (block := read_block(source)) is not None:
        if block.kind == STORED:
            data, steps = block.data, steps_of(network)
        else:
            symbols = coding.decode(steps, vocabulary, block.data, block.num_symbols)
            data = _bytes_of(symbols, vocabulary, block.kind)
        digest.update(data)
        target.write(data)
        totals.num_symbols += block.num_symbols
        totals.num_bytes += len(data)
        yield totals
    check_end(source, digest.digest())
    yield totals


def _pieces(
    source: BufferedIOBase, update_digest: Callable[[bytes], None], totals: Totals
) -> Iterator[bytes]:
    while piece := source.read(_PIECE_BYTES):
        update_digest(piece)
        totals.num_bytes += len(piece)
        yield piece


def _blocks(pieces: Iterator[bytes], vocabulary: Vocabulary) -> Iterator[tuple[Symbols, bool]]:
    """Yield symbols, and whether each newline among them stands for CR LF.

    Line ends are replaced where all of a block are CR LF, and the model never saw a CR.
    """
    if vocabulary.unit == "byte":
        yield from ((np.frombuffer(piece, np.uint8), False) for piece in pieces)
        return
    may_replace = ord("\r") not in vocabulary.symbols
    for text in _texts(pieces):
        num_windows = text.count("\r\n")
        is_windows = may_replace and 0 < num_windows == text.count("\n") == text.count("\r")
        yield code_points(text.replace("\r\n", "\n") if is_windows else text), is_windows


def _texts(pieces: Iterator[bytes]) -> Iterator[str]:
    """Decode UTF-8; other bytes become lone surrogates (PEP 383). No CR LF is cut in two."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    held = ""
    for piece in pieces:
        text = held + decoder.decode(piece)
        held = "\r" if text.endswith("\r") else ""
        if text := text.removesuffix(held):
            yield text
    if rest := held + decoder.decode(b"", final=True):
        yield rest


def _bytes_of(symbols: Symbols, vocabulary: Vocabulary, kind: int) -> bytes:
    if vocabulary.unit == "byte":
        return symbols.astype(np.uint8).tobytes()
    text = symbols.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    if kind == CODED_WINDOWS:
        text = text.replace("\n", "\r\n")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which no UTF-8 file contains
        raise InvalidDataError("it contains a character that UTF-8 cannot encode") from None
