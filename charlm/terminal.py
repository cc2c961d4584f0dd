"""Foreign text on a terminal: it is shown, and gives no orders."""

from typing import TextIO

_SHOWN = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}"),
}


def for_terminal(text: str, stream: TextIO) -> str:
    """Return a text as `stream` is to be given it.

    A terminal obeys control characters, so it gets a picture in the place of each but newline and
    tab; a file or a pipe gets the text as it is.
    """
    return text.translate(_SHOWN) if stream.isatty() else text
