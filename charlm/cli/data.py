"""The `data` commands, for texts that have a name."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from charlm.cli.group import HelpCommand, HelpGroup
from charlm.cli.options import Json, Quiet
from charlm.cli.terminal import for_terminal

data = typer.Typer(
    help="Check a text; list and download the texts available by name.", cls=HelpGroup
)


@data.command("list", cls=HelpCommand)
def data_list() -> None:
    """List the texts available by name, and which are on this machine."""
    from charlm.cli.tables import show_texts
    from charlm.corpus import catalogue
    from charlm.corpus.builtin_texts import BUILTIN
    from charlm.files.locations import cache_folder

    rows = [(name, "yes", title) for name, title in BUILTIN.items()]
    for name, entry in catalogue.catalogue().items():
        presence = "yes" if catalogue.download_path(name).exists() else "no"
        rows.append((name, presence, f"{entry.title} ({entry.size / 1e6:.1f} MB, {entry.licence})"))
    show_texts(rows, cache_folder())


@data.command("check", cls=HelpCommand)
def data_check(
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", help="Files, folders or globs; - is standard input."),
    ],
    json_: Json = False,
) -> None:
    """Check a text before training: what it contains, and what would harm the model.

    The exit code is 0 unless the text cannot be read or is too short.
    """
    from charlm.analysis.text_check import check_text
    from charlm.cli.text_check import show_check

    check = check_text(texts)
    if json_:
        print(json.dumps(check.to_json(), allow_nan=False))
    else:
        show_check(check)
    if check.is_too_short:
        raise typer.Exit(1)


@data.command("get", cls=HelpCommand)
def data_get(
    name: Annotated[str, typer.Argument(help="A name from `charlm data list`.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE|FOLDER",
            help="Read it from this file or folder instead of downloading it.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Download a text, verify it, and store it in the cache."""
    from charlm.cli.transfer import TransferView
    from charlm.corpus import catalogue

    view = TransferView(name, catalogue.entry_of(name).size, quiet)
    try:
        print(for_terminal(str(catalogue.get(name, source, view)), sys.stdout))
    finally:
        view.close()


@data.command("clear", cls=HelpCommand)
def data_clear() -> None:
    """Delete what charlm wrote to the cache: texts, encoded texts, kernels, measurements."""
    from charlm.cli.clearing import clear_cache
    from charlm.cli.console import print_message

    print_message(f"{clear_cache() / 1e6:,.2f} MB freed")
