"""Options of `train` that each set one key of the config, as `--set` does."""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, NamedTuple

import typer

from charlm.cli.options import TEXT
from charlm.errors import CharlmError


class SettingOption(NamedTuple):
    """An option that sets one key of the config."""

    key: str
    metavar: str
    """What the value is; "" for a flag, which sets the key to true."""
    help: str
    panel: str
    is_text: bool = False
    """Whether the value is a text, which may have any characters, and no YAML."""


_TRAINING, _MODEL = "Training", "Model"
"""Panels of the help."""

SETTING_OPTIONS = {
    "--records": SettingOption(
        "corpus.records",
        "FORM",
        "Read the text as a list: lines, paragraphs, csv, jsonl, or texts between separators, "
        "such as '%'.",
        TEXT,
        is_text=True,
    ),
    "--column": SettingOption(
        "corpus.column", "NAME", "Column of a csv or jsonl file to train on.", TEXT, is_text=True
    ),
    "--cell": SettingOption("model.cell", "NAME", "rnn, gru, lstm or mogrifier.", _MODEL),
    "--layers": SettingOption("model.num_layers", "N", "Number of layers.", _MODEL),
    "--hidden-size": SettingOption("model.hidden_size", "N", "Units per layer.", _MODEL),
    "--dropout": SettingOption(
        "model.dropout", "P", "Probability of dropping a unit, from 0 to below 1.", _MODEL
    ),
    "--budget": SettingOption(
        "training.budget",
        "TIME",
        "Time for the whole command, including the final score (90s, 3m, 1h30m).",
        _TRAINING,
    ),
    "--epochs": SettingOption(
        "training.epochs", "N", "Stop after N passes over the training split.", _TRAINING
    ),
    "--steps": SettingOption("training.steps", "N", "Stop after N updates.", _TRAINING),
    "--learning-rate": SettingOption(
        "training.learning_rate", "X", "Highest learning rate of the schedule.", _TRAINING
    ),
    "--batch-size": SettingOption(
        "batches.batch_size", "N", "Segments that each update learns from in parallel.", _TRAINING
    ),
    "--sequence-length": SettingOption(
        "batches.sequence_length", "N", "Characters in a segment.", _TRAINING
    ),
    "--seed": SettingOption(
        "training.seed",
        "N",
        "Random seed for weights, data order, dropout and samples.",
        _TRAINING,
    ),
    "--deterministic": SettingOption(
        "training.deterministic",
        "",
        "Reproduce results bit for bit, on this machine with the same versions and number of "
        "threads. A budget depends on the clock: use --epochs or --steps instead.",
        _TRAINING,
    ),
}
"""Each option of `train` that sets a key, in the order of the help."""


_NUM_TEXT_PARAMETERS = 3
"""Number of parameters of `train` that name the text; the help shows them first."""


def with_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that set a key.

    It receives their values and those of `--set` as `section.key=value` in its argument `set_`.
    """
    names = {_name_of(option): option for option in SETTING_OPTIONS}

    @wraps(command)
    def run(**arguments: Any) -> None:
        values = {option: arguments.pop(name) for name, option in names.items()}
        given = {
            option: _written(option, value) for option, value in values.items() if value is not None
        }
        command(**arguments | {"set_": merge_settings(given, arguments["set_"] or ())})

    signature = inspect.signature(command)
    own = [*signature.parameters.values()]
    added = [_parameter(name, SETTING_OPTIONS[option], option) for name, option in names.items()]
    vars(run)["__signature__"] = signature.replace(
        parameters=[*own[:_NUM_TEXT_PARAMETERS], *added, *own[_NUM_TEXT_PARAMETERS:]]
    )
    return run


def merge_settings(options: dict[str, str], settings: Sequence[str]) -> list[str]:
    """Return the values of options as `section.key=value` settings, then the other settings.

    Raises `CharlmError` if an option and a setting set the same key.
    """
    names = {setting.partition("=")[0].strip() for setting in settings}
    for option in options:
        if (key := SETTING_OPTIONS[option].key) in names:
            raise CharlmError(f"{option} and --set {key} set the same key; give one of them")
    return [
        *(f"{SETTING_OPTIONS[option].key}={value}" for option, value in options.items()),
        *settings,
    ]


def _name_of(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _written(option: str, value: str | bool) -> str:
    """Return a value as YAML writes it."""
    if SETTING_OPTIONS[option].is_text:
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else str(value).lower()


def _parameter(name: str, option: SettingOption, written: str) -> inspect.Parameter:
    info = typer.Option(
        written, metavar=option.metavar, help=option.help, rich_help_panel=option.panel
    )
    kind = str if option.metavar else bool
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, info],
    )
