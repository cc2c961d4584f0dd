"""Refuse standard input where a text is read more than once; this needs no torch."""

from charlm.config.schema import Config
from charlm.errors import ConfigError

AUTO = "--auto (implied by a text without a config)"
"""What chooses the settings, as errors name it."""


def check_text_can_be_read_again(config: Config, reader: str) -> None:
    """Raise `ConfigError` if the text comes from standard input; `reader` reads it repeatedly."""
    if "-" in config.corpus.paths:
        remedy = "save it in a file" + (", or name a config" if reader == AUTO else " for --text")
        raise ConfigError(f"{reader} reads the text more than once: {remedy}")
