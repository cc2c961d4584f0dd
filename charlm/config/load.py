"""Configs from YAML files and `section.key=value` settings, with every mistake reported at once."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from charlm.config.mistakes import describe_mistakes
from charlm.config.paths import anchor_paths
from charlm.config.schema import Config
from charlm.config.sections.generation import GenerationConfig, GenerationSettings
from charlm.config.settings import TextPaths, apply_settings
from charlm.errors import CharlmError, ConfigError
from charlm.files import strict_yaml
from charlm.files.locations import from_user, shipped
from charlm.files.untrusted import read_bounded
from charlm.suggestions import did_you_mean, did_you_mean_path

ENDINGS = (".yaml", ".yml")
"""Endings of the names of config files."""


def config_names() -> list[str]:
    """Return the names of the configs that ship with charlm."""
    return sorted(path.stem for path in shipped("configs").glob("*.yaml"))


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
    anchor_paths(keys, path.parent.resolve())
    # A shipped config is valid, so the mistake is in the settings.
    name = "" if str(source) in config_names() else str(source)
    return make_config(apply_settings(keys, settings, text), name)


def config_keys() -> list[str]:
    """Return all keys of a config as `section.key`."""
    return [
        f"{section}.{key}"
        for section, field in Config.model_fields.items()
        for key in getattr(field.annotation, "model_fields", {})
    ]


def check_keys(settings: Iterable[str]) -> None:
    """Raise `ConfigError` for a setting of an unknown key, whatever its value and the config."""
    for setting in settings:
        if setting.partition("=")[0].strip() not in config_keys():
            override(Config(), [setting])


def make_config(keys: Any, source: str) -> Config:
    """Validate nested keys (as read from YAML or JSON) and return the config.

    `source` is the place of the keys in errors; "" for none.
    """
    try:
        return Config.model_validate(keys)
    except ValidationError as invalid:
        place = f"{source}: " if source else ""
        raise ConfigError(f"{place}{describe_mistakes(invalid)}") from None


def with_generation(config: GenerationConfig, settings: GenerationSettings) -> GenerationConfig:
    """Return the section `generation`, changed by the settings that are not None.

    Raises `ConfigError` for invalid values.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    return make_config({"generation": config.model_dump() | given}, "").generation


def override(config: Config, settings: Iterable[str], text: TextPaths = ()) -> Config:
    """Return `config` with another text and then with `section.key=value` settings.

    All paths are relative to the current folder.
    """
    keys = config.model_dump()
    anchor_paths(keys, Path.cwd())
    return make_config(apply_settings(keys, settings, text), "--set")


def relocate(config: Config, settings: Iterable[str], text: TextPaths = ()) -> Config:
    """Return `config` with `text` as the new path of the same training text, and with settings.

    The paths of validation and test files change only by settings.
    """
    keys = apply_settings(config.model_dump(), settings, text, is_moved=True)
    return make_config(keys, "--set")


def to_yaml(config: Config) -> str:
    """Return all keys of a config as YAML, which `load_config` reads as the same config.

    Raises `ConfigError` for a config that is too long to read.
    """
    text = strict_yaml.to_yaml(config.model_dump(mode="json"))
    if text is None:
        raise ConfigError(
            f"corpus.paths: {len(config.corpus.paths):,} paths are too many to store; name "
            "their folder, or a glob in quotes"
        )
    return text


def _find(source: str | Path) -> Path:
    """Return the path of a shipped config or of a file."""
    if str(source) in config_names():
        return shipped("configs") / f"{source}.yaml"
    if os.path.isfile(source):  # noqa: PTH113 - Path's raises for what cannot be a name
        if Path(source).suffix not in ENDINGS:
            raise ConfigError(
                f"{source}: a config is a .yaml file; to train on this file, give it with --text"
            )
        return Path(source)
    if os.path.isdir(source):  # noqa: PTH112 - the same
        raise ConfigError(
            f"{source}: a folder, not a config; give texts with --text, and a run with --resume"
        )
    hint = (
        did_you_mean(str(source), config_names())
        or did_you_mean_path(Path(source), endings=ENDINGS)
        or f"the shipped ones are {', '.join(config_names())}"
    )
    raise ConfigError(f"{source}: neither a config file nor the name of a shipped config; {hint}")


def _read(path: Path) -> dict[Any, Any]:
    """Return the sections of a YAML file."""
    try:
        data = read_bounded(path, strict_yaml.MAX_MEGABYTES)
        keys = strict_yaml.parse_yaml(data.decode("utf-8").removeprefix("\ufeff"))
    except OSError as reason:
        raise ConfigError(f"{path}: cannot be read ({reason.strerror}); check the file") from None
    except UnicodeDecodeError as reason:
        raise ConfigError(
            f"{path}: byte {reason.start} is not UTF-8; save the config as UTF-8"
        ) from None
    except strict_yaml.YAMLError as reason:
        raise ConfigError(f"{path}: not YAML: {strict_yaml.describe_problem(reason)}") from None
    if keys is None:
        return {}
    if not isinstance(keys, dict):
        raise ConfigError(
            f"{path}: contains {keys!r:.40}, not the sections of a config; to train on this file, "
            "give it with --text"
        )
    return {name: {} if section is None else section for name, section in keys.items()}
