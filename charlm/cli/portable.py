"""The integer network of the model that a command uses."""

from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.console import print_message

if TYPE_CHECKING:
    from charlm.portable.network import IntegerNetwork


def integer_network(path: Path | None, quiet: bool, otherwise: str = "") -> "IntegerNetwork":
    """Return the integer network of a checkpoint, which the command has found.

    Print which network of an ensemble it is, or `otherwise` if there is only one.
    """
    from charlm.portable.checkpoint_network import read_network

    assert path is not None, "the command loaded the model from a checkpoint"
    network, remark = read_network(path)
    if (message := remark or otherwise) and not quiet:
        print_message(message)
    return network
