"""Say what an unknown option, an unknown command or an extra argument may mean."""

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import Any

from charlm.cli.setting_options import SETTING_OPTIONS
from charlm.suggestions import did_you_mean, with_similar_words

_MOST_NAMED = 3
"""Number of options or keys that an error names, at most."""

_VALUE_EXAMPLES = {
    "--budget": "10m",
    "--length": "500",
    "--mark-copied": "40",
    "--seeds": "0-2",
    "--set": "model.cell=gru",
    "--sweep": "model.cell=gru,lstm",
    "--temperature": "0.8",
}
"""A value of each option whose form the placeholder does not show."""

_NAMES_ELSEWHERE = {
    "prefix": ("prompt", "start", "primetext", "prime", "seed_text", "context"),
    "length": ("max_tokens", "max_new_tokens", "tokens", "num_tokens", "max_length", "characters"),
    "num_samples": ("count", "number"),
    "top_k": ("k",),
    "top_p": ("nucleus",),
    "run": ("model", "checkpoint", "ckpt", "load", "run", "init_from", "model_path"),
    "text": ("data", "data_dir", "dataset", "corpus", "input", "input_file", "file", "train_file"),
    "output": ("save_to", "out_file", "output_file"),
    "runs": ("out", "output", "out_dir", "output_dir", "save_dir", "checkpoint_dir", "logdir"),
    "device": ("gpu", "gpus", "cuda", "gpuid"),
    "hidden_size": ("rnn_size", "nhid", "hidden_dim", "num_hidden", "units", "n_embd", "width"),
    "embedding_size": ("emsize", "embedding_dim", "embed_dim"),
    "layers": ("nlayers", "n_layer", "num_layer", "depth"),
    "sequence_length": ("block_size", "bptt", "context_length", "seq_len", "num_steps"),
    "steps": ("iterations", "iters", "max_iters"),
    "max_gradient_norm": ("clip", "grad_clip", "gradient_clipping", "clip_grad"),
    "cell": ("model", "rnn_type", "model_type"),
    "budget": ("time", "max_time", "time_limit", "minutes"),
}
"""Names in other programs of options, of the argument RUN and of the last parts of keys."""


def describe_unknown_option(option: str, context: Any, arguments: Sequence[str]) -> str:
    """Return an error for an option that the command of a context does not have."""
    command, name = context.command, _path_of(context)
    names = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
    known = [name for name in names if name.startswith("-")]  # arguments have names without
    value = _value_of(option, arguments)
    if _plain(option) in _NAMES_ELSEWHERE["device"]:
        value = "cuda"  # elsewhere a number, or none
    meant = similar_names(option, known)
    if option == "--set":
        meant = _option_of(value, known)
    elif "--set" in known:
        meant = _settings_like(option, value, known) or meant
    if not meant and _plain(option) in _NAMES_ELSEWHERE["run"] and _takes_run(command):
        return f"{option}: {name} has no such option; name the run without it: {name} {value}"
    hint = " or ".join(meant[:_MOST_NAMED])
    if option == "--set" and not hint and "--runs" in known:
        return f"--set: {name} takes the settings of the run; `{name} --help` lists its options"
    remedy = f"use {hint}" if hint else f"`{name} --help` lists the options"
    return f"{option}: {name} has no such option; {remedy}"


def _option_of(setting: str, known: Sequence[str]) -> list[str]:
    """Return the option for a setting, such as --top-k for generation.top_k=5."""
    key, _, value = setting.partition("=")
    name = f"--{key.rpartition('.')[2].strip().replace('_', '-')}"
    return [f"{name} {value.strip()}"] if name in known and value.strip() else []


def _settings_like(option: str, value: str, known: Sequence[str]) -> list[str]:
    """Return the options and settings of the keys that an option may mean."""
    from charlm.config.load import config_keys  # slow to import, and rarely needed

    names = {one.key: name for name, one in SETTING_OPTIONS.items() if name in known}
    found = similar_names(option, config_keys())[:_MOST_NAMED]
    short = [f"{names[key]} {value}" for key in found if key in names]
    return [*short, *(f"--set {key}={value}" for key in found)]


def similar_names(option: str, names: Iterable[str]) -> list[str]:
    """Return the names that an option may mean, by the first rule that finds any.

    The rules: the same name, a name in other programs, a beginning, initials, a similar name, a
    similar word.
    """
    wanted = _plain(option)
    plain: dict[str, list[str]] = {}
    for name in names:
        plain.setdefault(_plain(name.rpartition(".")[2]), []).append(name)
    for fits in (
        lambda name: name in (wanted, f"num_{wanted}"),
        lambda name: wanted in _NAMES_ELSEWHERE.get(name, ()),
        lambda name: len(wanted) > 1 and name.startswith(wanted),
        lambda name: len(wanted) > 1 and "".join(word[:1] for word in name.split("_")) == wanted,
        lambda name: name in get_close_matches(wanted, [*plain], _MOST_NAMED, 0.7),
        lambda name: bool(with_similar_words(wanted, [name])),
    ):
        if found := [one for name, written in plain.items() if fits(name) for one in written]:
            return found
    return []


def _plain(option: str) -> str:
    return option.lstrip("-").replace("-", "_").lower()


def _takes_run(command: Any) -> bool:
    return any(one.param_type_name == "argument" and one.name == "run" for one in command.params)


def _path_of(context: Any) -> str:
    """Return the words of a command, such as charlm data list."""
    is_root = context.parent is None
    return "charlm" if is_root else f"{_path_of(context.parent)} {context.command.name}"


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """Return the value that was given to an option, or an ellipsis."""
    for place, argument in enumerate(takewhile(lambda word: word != "--", arguments)):
        name, equals, value = argument.partition("=")
        if name == option and equals:
            return value
        following = [*arguments[place + 1 : place + 2]]
        if name == option and following and not following[0].startswith("-"):
            return following[0]
    return "…"


def describe_unknown_command(name: str, group: Any) -> str:
    """Return an error for a command that a group does not have."""
    known = [*group.commands]
    begun = [one for one in known if one.startswith(name)]
    path = "charlm" if group.name in (None, "charlm") else f"charlm {group.name}"
    if begun:
        hint = f"did you mean {' or '.join(begun)}?"
    else:
        hint = did_you_mean(name, known) or f"the commands are {', '.join(known)}"
    return f"{name}: {path} has no such command; {hint}"


def describe_extra_arguments(error: str, context: Any) -> str:
    """Return an error for more arguments than a command takes, from the parser's message."""
    extra = error.partition(" (")[2].removesuffix(")")
    name = _path_of(context)
    if context.command.name == "generate":
        return f"{name} takes one run; to continue a text, use --prefix {shlex.quote(extra)}"
    return f"{name} takes no further argument, but got {extra}; `{name} --help` shows its options"


def describe_bad_value(error: Any) -> str:
    """Return an error for a value that an option or an argument does not take."""
    from charlm.config.mistakes import describe_value  # slow to import, and rarely needed

    if not hasattr(error.__cause__, "errors"):
        return str(error.format_message())
    return describe_value(_name_of(error.param), error.__cause__.errors()[0])


def describe_option_use(error: Any, group: Any, arguments: Sequence[str]) -> str:
    """Return an error for an option without its value, or for a value of a flag."""
    option: str = error.option_name
    command = group
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    found = [one for one in command.params if option in (*one.opts, *one.secondary_opts)]
    if not found or found[0].is_flag:
        return f"{option} takes no value"
    example = _VALUE_EXAMPLES.get(_name_of(found[0]), "")
    return f"{option} needs a value: {found[0].metavar}{example and f', such as {example}'}"


def describe_missing_argument(error: Any) -> str:
    """Return an error for an argument that a command needs."""
    name = _path_of(error.ctx)
    return f"{name} needs {_name_of(error.param)}; `{name} --help` shows what it is"


def _name_of(parameter: Any) -> str:
    """Return the long option of a parameter, or what stands for an argument in the help."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name)
    return str(max(parameter.opts, key=len))
