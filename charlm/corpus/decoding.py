"""Decode files in any encoding as a stream of symbols, in pieces of bounded size."""

import codecs
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.blocks import read_blocks, split_beginning
from charlm.corpus.encodings import iconv_name
from charlm.corpus.file_formats import LEAVE_IT_OUT, is_web_page
from charlm.corpus.file_kinds import mismatch
from charlm.corpus.files import exclusion_remedy, is_standard_input, shown_name
from charlm.corpus.newlines import LineEnds, converted, newlines_converted
from charlm.corpus.normalization import normalised
from charlm.corpus.vocabulary import Symbols, code_points
from charlm.corpus.wide_text import utf16_offset
from charlm.errors import CorpusError

_HTML_BEGINNING_BYTES = 1024
"""Number of bytes at the beginning of a file by which HTML is recognised."""
_BYTE_ORDER_MARK = "\ufeff"
_MARK_REMOVING_ENCODINGS = ("utf-16", "utf-32")
"""Encodings whose decoders remove the byte order mark."""
_MAX_PENDING_BYTES = 1 << 20
"""Number of bytes that a decoder may hold back: in UTF-7, a character may never be complete."""


def read_symbols(
    files: Sequence[Path],
    config: CorpusConfig,
    encodings: Mapping[Path, str] | None = None,
    line_ends: dict[Path, LineEnds] | None = None,
    *,
    is_setting: bool = True,
) -> Iterator[Symbols]:
    """Yield the code points of files in pieces, or their bytes with `unit: byte`.

    `encodings` are those of files that are not in the encoding of the config, UTF-8 if that is
    `auto`. `line_ends` receives the numbers of the line ends that are converted, for each file.
    Errors name settings as remedies, unless there is no way to set them (`is_setting`).
    """
    left = config.max_characters
    for path, decoded, counts in _each_file(files, config, encodings, line_ends):
        for piece in _pieces(path, decoded, files, counts, is_setting):
            if left is not None:
                piece, left = piece[:left], left - len(piece[:left])  # noqa: PLW2901
            if len(piece):
                yield piece
            if left == 0:
                return


def read_texts(
    files: Sequence[Path],
    config: CorpusConfig,
    encodings: Mapping[Path, str],
    line_ends: dict[Path, LineEnds],
    *,
    is_setting: bool = True,
) -> Iterator[tuple[Path, Iterator[str]]]:
    """Yield each file with its text in pieces; `max_characters` is not applied.

    The text of bytes is their Latin-1 text, so that each byte is a character. The arguments are
    those of `read_symbols`.
    """
    for path, decoded, counts in _each_file(files, config, encodings, line_ends):
        yield path, _texts(path, decoded, files, counts, is_setting)


def _each_file(
    files: Sequence[Path],
    config: CorpusConfig,
    encodings: Mapping[Path, str] | None,
    line_ends: dict[Path, LineEnds] | None,
) -> Iterator[tuple[Path, CorpusConfig, LineEnds]]:
    """Yield each file with the config that decodes it, and with the counts of its line ends."""
    by_default = "utf-8" if config.encoding == "auto" else config.encoding
    names = {path: (encodings or {}).get(path, by_default) for path in files}
    configs = {name: config.replace(encoding=name) for name in set(names.values())}
    for path in files:
        counts = LineEnds()
        if line_ends is not None:
            line_ends[path] = counts
        yield path, configs[names[path]], counts


def web_pages(files: Sequence[Path]) -> list[Path]:
    """Return the files that are HTML; raises `CorpusError` for one that cannot be read."""
    return [
        path for path in files if is_web_page(next(read_blocks(path, _HTML_BEGINNING_BYTES), b""))
    ]


def _pieces(
    path: Path, config: CorpusConfig, files: Sequence[Path], line_ends: LineEnds, is_setting: bool
) -> Iterator[Symbols]:
    if config.unit == "byte":
        return (np.frombuffer(block, np.uint8) for block in read_blocks(path))
    return map(code_points, _texts(path, config, files, line_ends, is_setting))


def _texts(
    path: Path, config: CorpusConfig, files: Sequence[Path], line_ends: LineEnds, is_setting: bool
) -> Iterator[str]:
    blocks = read_blocks(path)
    if config.unit == "byte":
        return (block.decode("latin-1") for block in blocks)
    named = (*config.paths, *config.validation_paths, *config.test_paths)
    texts = _decode(blocks, path, config, exclusion_remedy(path, named, files), is_setting)
    if config.line_ends != "keep":
        texts = converted(texts, config.line_ends, line_ends)
    if config.normal_form != "none":
        texts = normalised(texts, config.normal_form, path)
    return texts


def _check_blocks(
    blocks: Iterator[bytes], path: Path, config: CorpusConfig, exclusion: str, is_setting: bool
) -> Iterator[bytes]:
    """Yield blocks; raise `CorpusError` if they are not text in the encoding of the config."""
    beginning, blocks = split_beginning(blocks)
    if kind := mismatch(beginning, config.encoding):
        expected = "plain" if kind.encoding is None else config.encoding.upper()
        remedy = exclusion if exclusion and kind.remedy == LEAVE_IT_OUT else kind.remedy
        if kind.encoding is not None and not is_setting:
            source = "" if is_standard_input(path) else f" {shlex.quote(str(path))}"
            names = f"-f {iconv_name(kind.encoding)} -t {iconv_name(config.encoding)}"
            remedy = f"convert it with `iconv {names}{source}`"
        alternative = "" if remedy is exclusion or not exclusion else f"; or {exclusion}"
        raise CorpusError(
            f"{shown_name(path)}: {kind.name}, not {expected} text; {remedy}{alternative}"
        )
    offset = 0
    for block in blocks:
        if (start := utf16_offset(block, config.encoding)) is not None:
            alternative = f"; or {exclusion}" if exclusion else ""
            raise CorpusError(
                f"{shown_name(path)}: UTF-16 text from byte {offset + start} on, within "
                f"{config.encoding.upper()} text, as PowerShell's >> appends it; convert the "
                f"file to one encoding{alternative}"
            )
        offset += len(block)
        yield block


def _decode(
    blocks: Iterator[bytes], path: Path, config: CorpusConfig, exclusion: str, is_setting: bool
) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(config.encoding)()
    offset, at_start = 0, True
    alternative = f"; or {exclusion}" if exclusion else ""
    for block in _append_end(_check_blocks(blocks, path, config, exclusion, is_setting)):
        pending = len(decoder.getstate()[0])
        if pending > _MAX_PENDING_BYTES:
            raise CorpusError(
                f"{shown_name(path)}: {_MAX_PENDING_BYTES:,} bytes do not complete a character; "
                f"convert the file{', or check corpus.encoding' if is_setting else ''}"
            )
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as reason:
            place = offset - pending + reason.start
            wrong = reason.object[reason.start]
            settings = (
                ", or set corpus.encoding to its encoding or to auto, which recognises most, or "
                "corpus.unit to byte"
            )
            raise CorpusError(
                f"{shown_name(path)}: byte {place} is not {config.encoding.upper()} "
                f"(0x{wrong:02x}); convert the file{settings if is_setting else ''}{alternative}"
            ) from None
        except UnicodeError as reason:
            setting = "set corpus.encoding to its encoding"
            remedy = setting if is_setting else "convert the file"
            raise CorpusError(
                f"{shown_name(path)}: not {config.encoding} ({reason}); {remedy}"
            ) from None
        offset += len(block)
        if at_start and text:
            if config.encoding not in _MARK_REMOVING_ENCODINGS:
                text = text.removeprefix(_BYTE_ORDER_MARK)
            at_start = False
        yield text


def _append_end(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Append the empty block that tells a decoder that the file ends."""
    yield from blocks
    yield b""


def as_read(text: str, config: CorpusConfig) -> str:
    """Apply the newlines and the normal form of a corpus to a typed text."""
    if config.line_ends != "keep":
        text = newlines_converted(text, config.line_ends)
    if config.normal_form != "none":
        text = "".join(normalised(iter([text]), config.normal_form, "the prefix"))
    return text
