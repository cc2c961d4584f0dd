"""The format of compressed files, version 1: a header, blocks, and a digest. See README.md.

| bytes | content of the header |
|---|---|
| 4 | `MAGIC` |
| 1 | `VERSION` |
| 1 | 1 if a model follows, else 0 |
| 16 | digest of the model |
| 8, n | only with a model: n, and the model as a raw LZMA2 stream of n bytes |

| bytes | content of a block |
|---|---|
| 4 | number of symbols, at most 2^19; 0 in the last block |
| 4 | number n of bytes that follow the checksum |
| 1 | kind: 0 coded; 1 coded, and each newline stands for CR LF; 2 stored |
| 4 | CRC-32 of the 9 bytes before and the n bytes behind |
| n | the bytes of the range coder, or the original bytes |

After a stored block the network starts again, as at the beginning of the file.

After the last block come the first 16 bytes of the SHA-256 of the original file. Numbers are
little-endian.
"""

import lzma
import struct
import zlib
from dataclasses import dataclass
from io import BufferedIOBase

from charlm.errors import CharlmError
from charlm.files.untrusted import InvalidDataError
from charlm.portable.model_bytes import NUM_DIGEST_BYTES, digest_of, from_bytes, to_bytes
from charlm.portable.network import IntegerNetwork

MAGIC = b"\x89CLM"
VERSION = 1
MAX_BLOCK_SYMBOLS = 1 << 19
CODED, CODED_WINDOWS, STORED = 0, 1, 2
_HEADER = struct.Struct(f"<BB{NUM_DIGEST_BYTES}s")
_BLOCK, _CHECKSUM = struct.Struct("<IIB"), struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_MAX_SYMBOL_BYTES, _MAX_END_BYTES = 6, 16
"""A symbol takes at most 24 bits, and 21 more if it is unknown."""
_LZMA2 = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 2, "lp": 1, "pb": 1}]
_SMALL_MODEL_BYTES, _MAX_MODEL_RATIO = 1 << 24, 64
"""A larger model has at most this many times the bytes of its stream, so that a small forged file
does not fill the memory."""
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Block:
    """A piece of the file: coded symbols, or bytes that coding would make longer."""

    num_symbols: int
    kind: int
    data: bytes


def write_header(file: BufferedIOBase, network: IntegerNetwork, *, with_model: bool) -> None:
    """Write the header; with the model, the file can be decompressed without a run."""
    file.write(MAGIC + _HEADER.pack(VERSION, with_model, digest_of(network)))
    if with_model:
        model = to_bytes(network)
        stream = lzma.compress(model, lzma.FORMAT_RAW, filters=_LZMA2)
        if len(model) > _max_model_bytes(stream):
            raise CharlmError("the model is too uniform for --with-model; omit it")
        file.write(_LENGTH.pack(len(stream)) + stream)


def read_header(file: BufferedIOBase) -> tuple[bytes, IntegerNetwork | None]:
    """Return the digest of the model, and the model if it is in the file."""
    if _up_to(file, len(MAGIC)) != MAGIC:
        raise InvalidDataError("charlm did not compress it")
    version, has_model, digest = _HEADER.unpack(_exactly(file, _HEADER.size))
    if version != VERSION:
        raise InvalidDataError(f"it has format {version}, and this charlm reads format {VERSION}")
    if has_model not in (0, 1):
        raise InvalidDataError("it is damaged")
    if not has_model:
        return digest, None
    (size,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
    network = from_bytes(_decompressed(_exactly(file, size)))
    if digest_of(network) != digest:
        raise InvalidDataError("its model is damaged")
    return digest, network


def write_block(file: BufferedIOBase, block: Block) -> None:
    """Write a block with a checksum of its header and data."""
    begin = _BLOCK.pack(block.num_symbols, len(block.data), block.kind)
    file.write(begin + _CHECKSUM.pack(zlib.crc32(begin + block.data)) + block.data)


def read_block(file: BufferedIOBase) -> Block | None:
    """Return the next block, or None for the last; raises `InvalidDataError` for damage."""
    begin = _exactly(file, _BLOCK.size)
    num_symbols, size, kind = _BLOCK.unpack(begin)
    (checksum,) = _CHECKSUM.unpack(_exactly(file, _CHECKSUM.size))
    if num_symbols > MAX_BLOCK_SYMBOLS or kind not in (CODED, CODED_WINDOWS, STORED):
        raise InvalidDataError("it is damaged")
    data = _exactly(file, size, num_symbols * _MAX_SYMBOL_BYTES + _MAX_END_BYTES)
    if zlib.crc32(begin + data) != checksum:
        raise InvalidDataError("it is damaged: a checksum differs")
    return Block(num_symbols, kind, data) if num_symbols else None


def write_end(file: BufferedIOBase, digest: bytes) -> None:
    """Write the last block and the digest of the original file."""
    write_block(file, Block(0, CODED, b""))
    file.write(digest[:NUM_DIGEST_BYTES])


def check_end(file: BufferedIOBase, digest: bytes) -> None:
    """Raise `InvalidDataError` unless the file ends with this digest."""
    if _exactly(file, NUM_DIGEST_BYTES) != digest[:NUM_DIGEST_BYTES]:
        raise InvalidDataError("the decompressed text differs from the original")
    if file.read(1):
        raise InvalidDataError("it has more data after its end")


def _exactly(file: BufferedIOBase, size: int, limit: int | None = None) -> bytes:
    """Read so many bytes; raises `InvalidDataError` if the file ends before, or for a limit."""
    if limit is not None and size > limit:
        raise InvalidDataError("it is damaged")
    data = _up_to(file, size)
    if len(data) < size:
        raise InvalidDataError("it is cut short")
    return data


def _up_to(file: BufferedIOBase, size: int) -> bytes:
    """Read bytes in pieces, so that a forged size takes no more memory than there is data."""
    data = bytearray()
    while len(data) < size and (piece := file.read(min(size - len(data), _PIECE_BYTES))):
        data += piece
    return bytes(data)


def _max_model_bytes(stream: bytes) -> int:
    return max(_SMALL_MODEL_BYTES, _MAX_MODEL_RATIO * len(stream))


def _decompressed(data: bytes) -> bytes:
    """Return a model from its LZMA2 stream, unless it is larger than a model can be."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA2)
    try:
        model = decompressor.decompress(data, _max_model_bytes(data))
    except lzma.LZMAError as reason:
        raise InvalidDataError(f"its model is damaged: {reason}") from None
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidDataError("its model is damaged")
    return model
