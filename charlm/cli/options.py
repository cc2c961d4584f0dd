"""Choices for option values, and the options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from charlm.cli.completion import complete_config, complete_run, complete_setting

TEXT, SERIES, OUTPUT, OTHER, SAMPLING, SCORING, MEASUREMENT = (
    "Text",
    "Several runs",
    "Output",
    "Other",
    "Sampling",
    "Scoring",
    "Measurement",
)
"""Panels that group the options in the help."""


class Split(StrEnum):
    """Splits of the training text."""

    train = "train"
    validation = "validation"
    test = "test"


class Device(StrEnum):
    """Devices to compute on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Unknown(StrEnum):
    """Treatments of prefix characters that the model does not know."""

    error = "error"
    skip = "skip"
    map = "map"


ConfigName = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="Name of a shipped config, or a YAML file.",
        autocompletion=complete_config,
    ),
]
RunPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN|CHECKPOINT",
        help="A run folder or a checkpoint (default: the newest run below --runs).",
        autocompletion=complete_run,
    ),
]
RunPaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN|CHECKPOINT",
        help="Run folders or checkpoints; several are compared in a table (default: the newest "
        "run below --runs).",
        autocompletion=complete_run,
    ),
]
Runs = Annotated[
    Path,
    typer.Option(
        help="Folder that contains the run folders.", metavar="FOLDER", rich_help_panel=OUTPUT
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="A file, folder or glob; - is standard input. Repeatable.",
        rich_help_panel=TEXT,
    ),
]
MovedText = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="Where the training text is, if it has moved. Repeatable.",
        rich_help_panel=TEXT,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of the config, such as model.tie_weights=true. Repeatable.",
        autocompletion=complete_setting,
        rich_help_panel=OTHER,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON, for programs; an error is an object with the key error.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        rich_help_panel=OUTPUT,
        help="Print no messages and no progress, only results, warnings about the text, and "
        "errors.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        metavar="NAME",
        help="Device to compute on: auto, cpu, cuda or mps.",
        show_default=False,
        rich_help_panel=OTHER,
    ),
]
SplitOption = Annotated[
    Split | None,
    typer.Option(
        metavar="NAME",
        help="Split of the training text to score: train, validation or test (default).",
        rich_help_panel=TEXT,
    ),
]
BootstrapSeed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        help="Random seed of the bootstrap that gives the 95 % intervals.",
        rich_help_panel=SCORING,
    ),
]
Rows = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Streams to score in parallel; more than 1 is faster but approximate.",
        rich_help_panel=SCORING,
    ),
]
