"""Print the reference of all config keys as Markdown: `python -m charlm.config.reference`."""

import json
from collections.abc import Iterator
from typing import Any

from charlm.config.schema import Config

_INTRODUCTION = """\
# All keys of a config

`make reference` writes this file from [schema.py](../charlm/config/schema.py). A config file needs
only the keys that differ from their defaults; `--set section.key=value` sets a key on the command
line."""

_BOUNDS = {
    "exclusiveMinimum": ">",
    "minimum": "≥",
    "exclusiveMaximum": "<",
    "maximum": "≤",
}
_NAMES = {"string": "text", "boolean": "true or false", "object": "mapping"}


def reference() -> str:
    """Return the key, type, default and meaning of every config key, a table for each section."""
    return "\n\n".join((_INTRODUCTION, *_sections())) + "\n"


def _sections() -> Iterator[str]:
    definitions = Config.model_json_schema()["$defs"]
    defaults = Config().model_dump(mode="json")
    for section, field in Config.model_fields.items():
        schema = definitions[getattr(field.annotation, "__name__", "")]
        rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key, values in schema["properties"].items():
            default = json.dumps(defaults[section][key])
            cells = f"`{key}`", describe_type(values), f"`{default}`", values["description"]
            rows.append(f"| {' | '.join(_as_cell(cell) for cell in cells)} |")
        yield f"## {section}\n\n{_as_cell(schema['description'])}\n\n" + "\n".join(rows)


def describe_type(schema: dict[str, Any]) -> str:
    """Return the type in a JSON schema in words, with its bounds."""
    if "anyOf" in schema:
        return " or ".join(map(describe_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        items = schema["prefixItems"]
        return f"list of {len(items)}: {describe_type(items[0])}"
    if schema["type"] == "array":
        return f"list of {describe_type(schema['items'])}"
    bounds = [f"{sign} {schema[bound]:.9g}" for bound, sign in _BOUNDS.items() if bound in schema]
    return " ".join((_NAMES.get(schema["type"], schema["type"]), ", ".join(bounds))).strip()


def _as_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    print(reference(), end="")
