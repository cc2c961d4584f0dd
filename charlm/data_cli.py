"""The `charlm data` commands: texts by name."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from charlm.options import Quiet
from charlm.terminal import for_terminal

data = typer.Typer(help="Texts by name: built-in and downloadable ones.", no_args_is_help=True)


@data.command("list")
def data_list() -> None:
    """List the texts that can be named, and which are on this machine."""
    from charlm import texts
    from charlm.resources import cache_folder
    from charlm.tables import show_texts

    rows = [(name, "yes", title) for name, title in texts.BUILTIN.items()]
    for name, entry in texts.catalogue().items():
        here = "yes" if texts.downloaded(name).exists() else "no"
        rows.append((name, here, f"{entry.title} ({entry.size / 1e6:.1f} MB, {entry.licence})"))
    show_texts(rows, cache_folder())


@data.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A name from `charlm data list`.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE|FOLDER", help="Take it from here: no network."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Download a text, check it, and keep it."""
    from charlm import texts
    from charlm.progress import TransferView

    view = TransferView(name, texts.entry_of(name).size, quiet)
    try:
        print(for_terminal(str(texts.get(name, source, view)), sys.stdout))
    finally:
        view.close()


@data.command("clear")
def data_clear() -> None:
    """Delete what charlm wrote to the cache: texts, encoded texts, kernels, measurements."""
    from charlm.clearing import clear_cache
    from charlm.console import message

    message(f"{clear_cache() / 1e6:,.2f} MB freed")
