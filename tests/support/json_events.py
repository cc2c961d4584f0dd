"""Read the events of `charlm train --json`, and check them against their document."""

import json
import re
from pathlib import Path
from typing import Any

from typer.testing import Result

import charlm.cli

TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "object": (dict,),
    "array of strings": (list,),
    "array of objects": (list,),
    "null": (type(None),),
}


def documented() -> dict[str, dict[str, str]]:
    """Return the type of each key of each event, as the table in the document has them."""
    document = (Path(charlm.cli.__file__).parent / "README.md").read_text("utf-8")
    events: dict[str, dict[str, str]] = {}
    for line in re.findall(r"^\| (?!event|---)(.*) \|$", document, re.MULTILINE):
        name, key, kind, _ = (cell.strip().strip("`") for cell in line.split("|"))
        if name:
            keys = events[name] = {}
        if key:
            keys[key] = kind
    return events


EVENTS = documented()


def is_of_kind(value: Any, kind: str) -> bool:
    allowed = [one for name in kind.split(" or ") for one in TYPES[name]]
    if kind.startswith("array"):
        item = str if "strings" in kind else dict
        return type(value) is list and all(type(one) is item for one in value)
    return type(value) in allowed


def refuse_constant(name: str) -> None:
    """Raise for NaN and Infinity, which Python reads and JSON does not have."""
    raise AssertionError(f"{name} is not JSON")


def events_of(result: Result) -> list[dict[str, Any]]:
    """Return the events that a command printed; each is as the document says, in its place."""
    lines = result.stdout.splitlines()
    assert result.stdout == "".join(f"{line}\n" for line in lines) and result.stdout.isascii()
    events = [json.loads(line, parse_constant=refuse_constant) for line in lines]
    for event in events:
        if event.keys() == {"error"}:
            continue
        fields = dict(event)
        kinds, member = EVENTS[fields.pop("event")], fields.pop("member", 1)
        assert is_of_kind(fields.pop("run"), "string or null") and is_of_kind(member, "integer")
        required = {key for key, kind in kinds.items() if not kind.endswith(", optional")}
        assert required <= fields.keys() <= kinds.keys(), event
        for key, value in fields.items():
            assert is_of_kind(value, kinds[key].removesuffix(", optional")), (event, key)
    last = "series_finished" if events[0].get("event") == "series" else "finished"
    ends = [event.get("event") in (last, "stopped", None) for event in events]
    assert ends == [*[False] * (len(events) - 1), True]
    return events
