"""Read and write strict YAML: the scalars of YAML 1.2, without tags, aliases and repeated keys."""

import re
from typing import Any

import yaml
from yaml import YAMLError

__all__ = [
    "MAX_MEGABYTES",
    "MAX_VALUES",
    "NULL",
    "YAMLError",
    "describe_problem",
    "parse_yaml",
    "to_yaml",
]

MAX_MEGABYTES = 1
"""Largest size of a file."""
MAX_VALUES = 40_000
"""Largest number of values in a file; PyYAML needs 40 MB of memory and 2 s to read them."""

NULL = r"~|null|Null|NULL"
"""Regular expression of the words that mean null."""

_SCALARS = {  # PyYAML reads YAML 1.1, where 1e-3 is a text, `no` is false and 1:30 is 90
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (rf"{NULL}|", ["~", "n", "N", ""]),
}
"""Regular expression and possible first characters of each type."""

_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _tag, (_pattern, _first_characters) in _SCALARS.items():
    for _character in _first_characters:
        _resolver = (f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"))
        _RESOLVERS.setdefault(_character, []).append(_resolver)


class _Loader(yaml.SafeLoader):
    """Refuses repeated keys, aliases, tags such as !!int, and too many values."""

    yaml_implicit_resolvers = _RESOLVERS

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._num_values += 1
        problem = None
        if is_alias:  # a few lines with aliases can represent more values than fit in memory
            problem = f"the alias *{event.anchor:.60} is not supported"
        elif getattr(event, "tag", None):
            problem = f"the tag {event.tag:.60} is not supported"
        elif self._num_values > MAX_VALUES:
            problem = f"more than {MAX_VALUES:,} keys and values"
        if problem is not None:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value:.60} is repeated", problem_mark=node.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that the loader would read as another value."""

    yaml_implicit_resolvers = _RESOLVERS


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)


def parse_yaml(text: str) -> Any:
    """Parse a YAML text; raises `YAMLError`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, RecursionError) as reason:  # such as the 31st of February
        raise YAMLError(str(reason)) from None


def to_yaml(values: Any) -> str | None:
    """Return values as YAML, or None if the text is too long for `parse_yaml` to read."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if len(text.encode()) > MAX_MEGABYTES << 20 or text.count("\n") > MAX_VALUES - 500:
        return None
    return text


def describe_problem(reason: YAMLError) -> str:
    """Describe what is wrong with a YAML text, where, and the remedy."""
    if isinstance(reason, yaml.MarkedYAMLError) and reason.problem_mark is not None:
        return f"line {reason.problem_mark.line + 1}: {reason.problem!s:.200}; correct that line"
    return f"{' '.join(str(reason).split()):.200}; correct the file"
