"""The `generate` command."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.arguments import ESCAPES_HELP, expand_escapes
from charlm.cli.options import (
    OUTPUT,
    SAMPLING,
    TEXT,
    Device,
    DeviceOption,
    Quiet,
    RunPath,
    Runs,
    Unknown,
)
from charlm.cli.text_output import TextOutput
from charlm.errors import CharlmError
from charlm.files.locations import from_user

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings


def generate(
    run: RunPath = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix",
            "-p",
            metavar="TEXT",
            help="Text to continue, taken literally.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    prefix_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the prefix: UTF-8, or any bytes for a byte model.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            "-n",
            metavar="N",
            help="Characters to generate (default: 300, or that of the config).",
            rich_help_panel=TEXT,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            "-t",
            metavar="X",
            help="Below 1 less random, above 1 more random; 0 is greedy.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Sample from the K likeliest characters only.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Sample from the likeliest characters that together have this probability.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Drop characters less likely than this fraction of the likeliest one.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    greedy: Annotated[
        bool | None,
        typer.Option(
            "--greedy", help="Always choose the likeliest character.", rich_help_panel=SAMPLING
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Random seed: the same seed gives the same text.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    num_samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Number of texts to generate.",
            rich_help_panel=TEXT,
        ),
    ] = 1,
    stop: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help=f"Stop before this text. {ESCAPES_HELP}", rich_help_panel=TEXT
        ),
    ] = None,
    unknown: Annotated[
        Unknown,
        typer.Option(
            metavar="NAME",
            help="What to do with unknown characters of the prefix: error, skip or map.",
            rich_help_panel=TEXT,
        ),
    ] = Unknown.error,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the text, and only the text, to a new file.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Continue a text, character by character.

    Defaults come from the `generation` section of the model's config.
    """
    from charlm.cli.console import print_message
    from charlm.cli.prefixes import argument_bytes, decoded_prefix, read_prefix
    from charlm.files.atomic import check_is_new
    from charlm.runs.finding import checkpoint_of

    if prefix is not None and prefix_file is not None:
        raise CharlmError("--prefix cannot be combined with --prefix-file")
    if output is not None:
        output = from_user(output)
        check_is_new(output, "--output")
    file_bytes = read_prefix(prefix_file) if prefix_file is not None else b""
    checkpoint_of(run, runs)  # a wrong name costs less than a second
    from charlm.prediction import generation, predictor

    stop_text = None if stop is None else expand_escapes(stop)
    if not quiet and stop_text != stop:
        print_message(f"--stop: escapes were replaced; {ESCAPES_HELP}")
    loaded = predictor.load(run, runs=runs, device=device.value)
    if not quiet:
        print_message(f"using {loaded.describe()}")
    is_raw = loaded.vocabulary.unit == "byte"
    prefix_bytes = argument_bytes(prefix, "--prefix", is_raw) if prefix is not None else None
    if prefix_file is not None:
        prefix_bytes = decoded_prefix(file_bytes, prefix_file, is_raw)
    stop_bytes = argument_bytes(stop_text, "--stop", is_raw) if stop_text is not None else None
    settings: GenerationSettings = {
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "greedy": greedy,
    }
    prefix_ids = generation.encode_prefix(loaded, prefix_bytes, unknown.value)
    prefix_read = loaded.vocabulary.decode_bytes(prefix_ids)
    if num_samples == 1:
        continuation = generation.generate_bytes(
            loaded, prefix_ids, seed=seed, stop=stop_bytes, **settings
        )
        target = TextOutput(output)
        for piece in chain([prefix_read], continuation):
            target.write(piece)
        # Files, and pipes from a byte model, receive exactly what the model generates.
        if output is None and not (is_raw and target.is_exact):
            target.write(b"\n")
    else:
        samples = generation.generate_samples(
            loaded, prefix_ids, num_samples=num_samples, seed=seed, stop=stop_bytes, **settings
        )
        target = TextOutput(output)
        for number, sample in enumerate(samples, 1):
            target.write(b"--- sample %d ---\n%b%b\n" % (number, prefix_read, sample))
    target.close()
