"""What `generate --interactive` is set to, and the commands that change it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charlm.cli.arguments import expand_escapes
from charlm.cli.options import Unknown
from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings
    from charlm.prediction.predictor import Predictor

HELP = """\
A line is the beginning of a text; an empty line continues the last text.
Ctrl-C stops a text, Ctrl-D ends; the arrow keys bring back earlier lines.
:temperature 0.5   below 1 less random, above 1 more random; 0 is greedy
:length 300        characters to generate
:top-p 0.9         also :top-k 20 and :min-p 0.05
:seed 7            the same text for the same line; :seed random
:stop TEXT         end before this text; :stop alone: never
:unknown skip      unknown characters of a line: error, skip or map
:settings          show all of these
:: at the beginning of a line is a colon of its text."""
_NUMBERS: dict[str, Callable[[str], float | int]] = {
    "temperature": float,
    "length": int,
    "top_p": float,
    "top_k": int,
    "min_p": float,
}
_NAMES = (*_NUMBERS, "seed", "stop", "unknown")


@dataclass
class InteractiveSettings:
    """Settings of the next text."""

    loaded: "Predictor"
    settings: "GenerationSettings"
    seed: int | None
    stop: str | None
    unknown: Unknown

    def obey(self, line: str) -> str:
        """Carry out a command; return what it says. Raises `CharlmError` for a wrong one."""
        name, _, value = line.strip().partition(" ")
        name, value = name.replace("-", "_").lower(), value.strip()
        if name in ("help", "h", "?", ""):
            return HELP
        if name == "settings":
            return "\n".join(self._shown(name) for name in _NAMES)
        if name not in _NAMES:
            shown = ascii(_dashed(name))[1:-1][:40]
            raise CharlmError(f":{shown}: no such command; :help lists them")
        if value or name == "stop":
            self._set(name, value)
        return self._shown(name)

    def _set(self, name: str, value: str) -> None:
        if name == "stop":
            self.stop = expand_escapes(value) or None
        elif name == "unknown":
            if value not in {*Unknown}:
                raise CharlmError(f":unknown {value}: use {', '.join(Unknown)}")
            self.unknown = Unknown(value)
        elif name == "seed":
            self.seed = None if value == "random" else _number(name, value, int)
        else:
            self._set_number(name, _number(name, value, _NUMBERS[name]))

    def _set_number(self, name: str, value: float | int) -> None:
        from pydantic import ValidationError

        from charlm.config.mistakes import describe_value
        from charlm.config.sections.generation import GenerationConfig

        try:
            GenerationConfig.model_validate({name: value})
        except ValidationError as invalid:
            raise CharlmError(describe_value(f":{_dashed(name)}", invalid.errors()[0])) from None
        changes: Any = {name: value, **({"greedy": False} if name == "temperature" else {})}
        self.settings = {**self.settings, **changes}

    def _shown(self, name: str) -> str:
        from charlm.prediction.generation import generation_config

        value: object
        if name in ("seed", "stop", "unknown"):
            value = getattr(self, name)
            otherwise = {"seed": "random", "stop": "never"}.get(name)
            shown = otherwise if value is None else repr(value) if name == "stop" else value
        else:
            shown = getattr(generation_config(self.loaded, self.settings), name) or 0
        return f"{_dashed(name)} {shown}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _number(name: str, value: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(value)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise CharlmError(f":{_dashed(name)} {value}: should be {what}") from None
