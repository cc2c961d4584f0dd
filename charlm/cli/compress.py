"""The commands `compress` and `decompress`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.byte_files import STREAM, created, opened
from charlm.cli.completion import complete_run
from charlm.cli.options import OUTPUT, Quiet, Runs
from charlm.errors import CharlmError
from charlm.files.locations import from_user
from charlm.formatting import count

if TYPE_CHECKING:
    from charlm.portable.compression import Totals
    from charlm.portable.network import IntegerNetwork

_SUFFIX = ".charlm"
_ASK_FOR_RUN = "name the run or checkpoint with --run"


def _run_option(default: str) -> Any:
    return typer.Option(
        "--run",
        metavar="RUN|CHECKPOINT",
        help=f"The model: a run folder or a checkpoint (default: {default}).",
        autocompletion=complete_run,
    )


RunOption = Annotated[Path | None, _run_option("the newest run below --runs")]
RightRunOption = Annotated[Path | None, _run_option("the run below --runs that compressed it")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help=f"The new file; - is standard output (default: FILE with or without {_SUFFIX}).",
        rich_help_panel=OUTPUT,
    ),
]


def compress(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="[RUN] FILE", help="A model, and any file; - is standard input."),
    ],
    run: RunOption = None,
    output: OutputOption = None,
    with_model: Annotated[
        bool,
        typer.Option(
            "--with-model",
            help="Put the model into the file, so that it can be decompressed alone.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Compress a file without loss, with the predictions of a model.

    The model computes with integers, so decompression works on every machine. It needs the
    same checkpoint, unless --with-model puts the model into the file.
    """
    from charlm.cli.run_and_file import run_and_any_file

    run, file = run_and_any_file(files, run)
    file, output = _paths(file, output, Path(f"{file}{_SUFFIX}"))
    from charlm.cli.console import print_message
    from charlm.portable import compression

    with opened(file) as source:
        path, network = _network(run, runs, quiet)
        with created(output) as target:
            written = compression.compress(source, target, network, with_model=with_model)
            totals = _show_each(written, "compressed", quiet)
            size = None if output == STREAM else target.tell()
    if not quiet:
        print_message(_described(totals, size))
        if not with_model:
            print_message(f"to decompress it, keep {path}; training this run further changes it")


def decompress(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RUN] FILE", help="A model, and a compressed file; - is standard input."
        ),
    ],
    run: RightRunOption = None,
    output: OutputOption = None,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Decompress a file that `charlm compress` wrote, with the same model."""
    from charlm.cli.run_and_file import run_and_any_file

    run, file = run_and_any_file(files, run)
    original = file.with_suffix("") if file.suffix == _SUFFIX else None
    file, output = _paths(file, output, original)
    from charlm.portable import compression

    with opened(file) as source, created(output) as target:
        totals = compression.decompress(
            source, target, lambda digest: _network_with(digest, run, runs, quiet)
        )
        try:
            _show_each(totals, "decompressed", quiet)
        except CharlmError as error:
            raise CharlmError(f"{file}: {error}") from None


def _paths(file: Path, output: Path | None, default: Path | None) -> tuple[Path, Path]:
    """Return the paths of both files, and check the new one before a model is loaded."""
    from charlm.files.atomic import path_of_new

    if output is None and file != STREAM and default is None:
        raise CharlmError(f"{file}: does not end in {_SUFFIX}; name the new file with --output")
    output = output or (STREAM if file == STREAM or default is None else default)
    if output != STREAM:
        output = path_of_new(output, "--output")
    elif sys.stdout.isatty():
        raise CharlmError("a terminal cannot show the output; name a file with --output")
    return (file if file == STREAM else from_user(file)), output


def _network(run: Path | None, runs: Path, quiet: bool) -> tuple[Path, "IntegerNetwork"]:
    """Return a run's checkpoint with its integer network, and print which one it is."""
    from charlm.cli.portable import integer_network
    from charlm.runs.finding import checkpoint_of

    path = checkpoint_of(run, runs)
    return path, integer_network(path, quiet, f"using {path}")


def _network_with(digest: bytes, run: Path | None, runs: Path, quiet: bool) -> "IntegerNetwork":
    """Return the network with this digest: of `run`, or if that is None, of any run."""
    from charlm.cli.console import print_message
    from charlm.portable.finding import checkpoint_with
    from charlm.portable.model_bytes import digest_of

    runs = from_user(runs)
    if run is not None:
        path, network = _network(run, runs, quiet)
        if digest_of(network) == digest:
            return network
        other = checkpoint_with(digest, runs)
        right = f"of {other.path}" if other else f"{digest.hex()}, which no run below {runs} has"
        raise CharlmError(
            f"compressed with the model {right}, not with that of {path}; {_ASK_FOR_RUN}"
        )
    found = checkpoint_with(digest, runs)
    if found is None:
        raise CharlmError(
            f"compressed with the model {digest.hex()}, which no run below {runs} has (training a "
            f"run further changes its model); {_ASK_FOR_RUN}"
        )
    if not quiet:
        print_message(found.remark or f"using {found.path}")
    return found.network


def _show_each(totals: Iterator["Totals"], done: str, quiet: bool) -> "Totals":
    """Consume totals and show them in the last line of a terminal; return the last."""
    from charlm.cli.screen import can_redraw
    from charlm.cli.status_line import LiveLine
    from charlm.portable.compression import Totals

    line = None if quiet or not can_redraw(sys.stderr) else LiveLine(sys.stderr)
    total = Totals()
    for total in totals:
        if line is not None:
            line.draw(f"{done} {total.num_bytes:,} bytes")
    if line is not None:
        line.erase()
    return total


def _described(totals: "Totals", size: int | None) -> str:
    """Describe the result of a compression in a line."""
    text = f"{totals.num_bytes:,} bytes"
    if size is not None:
        text += f" compressed to {size:,}"
    if size is not None and totals.num_bytes:
        text += f", {8 * size / totals.num_bytes:.3f} bits per byte"
    if totals.num_unknown:
        unknown = count(totals.num_unknown, "character")
        text += f"; {unknown} unknown to the model, at about 45 bits each"
    return text
