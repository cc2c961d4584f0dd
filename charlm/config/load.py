"""Read a YAML file and `key=value` settings into a `Config`, reporting every mistake at once."""

import glob
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from charlm.config.schema import Config
from charlm.errors import CharlmError, ConfigError
from charlm.files.locations import from_user, shipped
from charlm.files.untrusted import read_bounded
from charlm.suggestions import did_you_mean, did_you_mean_path

_NULL = r"~|null|Null|NULL"

_YAML_1_2 = {  # PyYAML reads 1e-3 as text, `no` as false and 1:30 as 90; the newer schema does not
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (rf"{_NULL}|", ["~", "n", "N", ""]),
}


_MOST_MISTAKES = 40
"""Described in one message."""

_MOST_MEGABYTES, _MOST_VALUES = 1, 40_000
"""In one file: PyYAML takes a kilobyte of memory for each value, and two seconds for these."""

_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _tag, (_pattern, _first) in _YAML_1_2.items():
    for _character in _first:
        _resolver = (f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"))
        _RESOLVERS.setdefault(_character, []).append(_resolver)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core scalars; a key that stands twice is an error, and so are tags like !!int."""

    yaml_implicit_resolvers = _RESOLVERS

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._num_values += 1
        problem = None
        if is_alias:  # a few lines of them may stand for more than fits in memory
            problem = f"the alias *{event.anchor:.60} is not taken"
        elif getattr(event, "tag", None):
            problem = f"the tag {event.tag:.60} is not taken"
        elif self._num_values > _MOST_VALUES:
            problem = f"these are more than {_MOST_VALUES:,} keys and values"
        if problem is not None:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value:.60} stands twice", problem_mark=node.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would not read as the same text."""

    yaml_implicit_resolvers = _RESOLVERS


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)


_ENDINGS = (".yaml", ".yml")


def config_names() -> list[str]:
    """Return the names of the configs that ship with charlm."""
    return sorted(path.stem for path in shipped("configs").glob("*.yaml"))


TextPaths = str | Path | Iterable[str | Path]
"""Files, folders or globs."""


def load_config(
    source: str | Path = "quickstart", settings: Iterable[str] = (), text: TextPaths = ()
) -> Config:
    """Read a shipped config by name or a YAML file by path.

    `text` replaces the file's text, including its files for validation and test; then
    `section.key=value` settings apply. Paths in a file are relative to the file's folder, those of
    `text` and settings to the current folder. Raises `ConfigError` that names every mistake.
    """
    if str(source).startswith("~"):
        try:
            source = from_user(source)
        except CharlmError as error:
            raise ConfigError(str(error)) from None
    path = _find(source)
    keys = _read(path)
    _anchor_paths(keys, path.parent.resolve())
    return make_config(_with_given(keys, settings, text), str(source))


def make_config(keys: Any, source: str) -> Config:
    """Check nested keys (as read from YAML or JSON) and return the config."""
    try:
        return Config.model_validate(keys)
    except ValidationError as invalid:
        errors = invalid.errors()
        mistakes = [_describe(error) for error in errors[:_MOST_MISTAKES]]
        if len(errors) > _MOST_MISTAKES:
            mistakes.append("and so on")
        count = "" if len(errors) == 1 else f"{len(errors)} mistakes: "
        raise ConfigError(f"{source}: {count}{'; '.join(mistakes)}") from None


def override(config: Config, settings: Iterable[str], text: TextPaths = ()) -> Config:
    """Return `config` with another text and then with `section.key=value` settings."""
    return make_config(_with_given(config.model_dump(), settings, text), "--set")


def relocate(config: Config, settings: Iterable[str], text: TextPaths = ()) -> Config:
    """Return `config` with `text` as the new path of the same training text, and with settings.

    The paths of validation and test files change only by settings.
    """
    keys = _with_given(config.model_dump(), settings, text, is_moved=True)
    return make_config(keys, "--set")


def to_yaml(config: Config) -> str:
    """Write every key of a config; `load_config` reads it back as the same config.

    Raises `ConfigError` for one that is too long for that.
    """
    keys = config.model_dump(mode="json")
    text: str = yaml.dump(keys, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if len(text.encode()) > _MOST_MEGABYTES << 20 or text.count("\n") > _MOST_VALUES - 500:
        raise ConfigError(
            f"corpus.paths: {len(config.corpus.paths):,} paths are too many to write down; name "
            "their folder, or a glob in quotes"
        )
    return text


def _find(source: str | Path) -> Path:
    named = shipped("configs") / f"{source}.yaml"
    if str(source) in config_names():
        return named
    if os.path.isfile(source):  # noqa: PTH113 - Path's raises for what cannot be a name
        if Path(source).suffix not in _ENDINGS:
            raise ConfigError(
                f"{source}: a config is a .yaml file; to train on it as a text, give it with --text"
            )
        return Path(source)
    if os.path.isdir(source):  # noqa: PTH112
        raise ConfigError(
            f"{source}: a folder and no config; give texts with --text, and a run with --resume"
        )
    hint = (
        did_you_mean(str(source), config_names())
        or did_you_mean_path(Path(source), endings=_ENDINGS)
        or f"the shipped ones are {', '.join(config_names())}"
    )
    raise ConfigError(f"{source}: neither a config file nor the name of a shipped config; {hint}")


def _read(path: Path) -> dict[Any, Any]:
    try:
        keys = parse_yaml(
            read_bounded(path, _MOST_MEGABYTES).decode("utf-8").removeprefix("\ufeff")
        )
    except OSError as reason:
        raise ConfigError(f"{path}: cannot be read ({reason.strerror}); check the file") from None
    except UnicodeDecodeError as reason:
        raise ConfigError(
            f"{path}: byte {reason.start} is not UTF-8; save the config as UTF-8"
        ) from None
    except yaml.YAMLError as reason:
        raise ConfigError(f"{path}: not YAML: {_yaml_problem(reason)}") from None
    if keys is None:
        return {}
    if not isinstance(keys, dict):
        raise ConfigError(
            f"{path}: holds {keys!r:.40}, not sections of a config; to train on it as a text, "
            "give it with --text"
        )
    return {name: {} if section is None else section for name, section in keys.items()}


def parse_yaml(text: str) -> Any:
    """Parse a YAML text; raises `YAMLError`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, RecursionError) as reason:  # such as the 31st of February
        raise yaml.YAMLError(str(reason)) from None


def _yaml_problem(reason: Exception) -> str:
    if isinstance(reason, yaml.MarkedYAMLError) and reason.problem_mark is not None:
        return f"line {reason.problem_mark.line + 1}: {reason.problem!s:.200}; mend that line"
    return f"{' '.join(str(reason).split()):.200}; mend the file"


def _parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise ConfigError(f"{setting!r}: a setting is written section.key=value")
        try:
            value = parse_yaml(_recovered(text))
        except yaml.YAMLError as reason:
            raise ConfigError(f"{setting!r}: {_yaml_problem(reason)}") from None
        if value is None and not re.fullmatch(_NULL, text.strip()):
            raise ConfigError(
                f"{setting!r}: the value is empty (is a shell variable not set?); write null for "
                "no value, or section.key='\"\"' for an empty text"
            )
        keys.setdefault(section, {})[key] = value
    return keys


def _recovered(text: str) -> str:
    """Decode bytes that the locale left as surrogates (PEP 383), if they are UTF-8."""
    try:
        return os.fsencode(text).decode() if not text.isprintable() else text
    except UnicodeError:
        return text


def _as_name(path: str) -> str:
    """Return a path so that Python encodes it as UTF-8 in any locale."""
    with suppress(UnicodeError):
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            return os.fsdecode(path.encode())
    return path


_ALTERNATIVES = {"corpus": ("paths", "builtin")}
"""Keys that each name the text: setting one resets the others."""


def _with_given(
    keys: dict[Any, Any], settings: Iterable[str], text: TextPaths, is_moved: bool = False
) -> dict[Any, Any]:
    """Apply a text, then settings, to the keys of a config."""
    paths = [text] if isinstance(text, str | Path) else list(text)
    given = _parse_settings(settings)
    _anchor_paths(given, Path.cwd())
    if not paths:
        return _merge(keys, given)
    for key in _ALTERNATIVES["corpus"]:
        if given.get("corpus", {}).get(key) is not None:
            raise ConfigError(f"--text and corpus.{key} both name the text; give one of them")
    corpus: dict[str, Any] = {"paths": [absolute(str(path), Path.cwd()) for path in paths]}
    if not is_moved:
        corpus |= {"validation_paths": [], "test_paths": []}
    return _merge(_merge(keys, {"corpus": corpus}), given)


def _merge(keys: dict[Any, Any], given: dict[str, Any]) -> dict[Any, Any]:
    """Lay settings over the keys of a file."""
    merged = dict(keys)
    given = {section: _without_alternatives(section, values) for section, values in given.items()}
    for section, values in given.items():
        below = merged.get(section, {})
        if isinstance(below, dict):  # otherwise a mistake, to be reported
            merged[section] = {**below, **values}
    return merged


def _without_alternatives(section: str, values: dict[str, Any]) -> dict[str, Any]:
    alternatives = _ALTERNATIVES.get(section, ())
    if all(values.get(key) is None for key in alternatives):
        return values
    empty = {key: () if key == "paths" else None for key in alternatives}
    return empty | values


_PATHS = {
    "corpus": ("paths", "validation_paths", "test_paths"),
    "training": ("start_from", "teachers"),
}
"""Keys that hold paths."""


def _anchor_paths(keys: dict[Any, Any], folder: Path) -> None:
    """Make paths absolute, so that a run can be continued and evaluated from any folder."""
    for section, names in _PATHS.items():
        values = keys.get(section)
        if not isinstance(values, dict):
            continue
        for name in names:
            given = values.get(name)
            if isinstance(given, str):
                values[name] = absolute(given, folder)
            elif isinstance(given, list | tuple) and all(isinstance(path, str) for path in given):
                values[name] = [absolute(path, folder) for path in given]


def absolute(path: str, folder: Path) -> str:
    """Make a path of a config absolute, as seen from `folder`; `-` stays standard input."""
    if path in ("", "-"):
        return path
    path = _as_name(os.path.expanduser(path))  # noqa: PTH111 - Path's raises for an unknown home
    is_pattern = glob.has_magic(path) and not os.path.exists(folder / path)  # noqa: PTH110
    return str(Path(glob.escape(str(folder)) if is_pattern else folder) / path)


def _describe(error: ErrorDetails) -> str:
    name = ".".join(f"{part!s:.60}" for part in error["loc"]) or "the config"
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        near = did_you_mean(str(error["loc"][-1]), known, 1, least_similarity=0.5)
        hint = near or f"known are {', '.join(known)}"
        return f"{name} is not a key; {hint}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if error["type"] == "model_type":
        message = "should be a section with keys below it"
    if isinstance(error["input"], BaseModel | dict) and len(error["loc"]) <= 1:
        return f"{name}: {message}"
    return f"{name} is {error['input']!r:.60}: {message}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: Any = Config
    for part in location:
        section = section.model_fields[part].annotation
    return list(section.model_fields)
