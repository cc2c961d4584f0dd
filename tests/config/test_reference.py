"""The generated reference of all config keys."""

from pathlib import Path

from charlm.config.reference import describe_type, reference
from charlm.config.schema import Config

FILE = Path(__file__).parents[2] / "configs" / "REFERENCE.md"


def test_reference_is_current() -> None:
    """After a change of the schema, `make reference` writes the file again."""
    assert FILE.read_text("utf-8") == reference()


def test_reference_has_every_key() -> None:
    """Each key stands in the table of its section, with its default."""
    sections = reference().split("\n## ")[1:]
    assert [section.split("\n")[0] for section in sections] == list(Config.model_fields)
    for text, section in zip(sections, Config.model_fields, strict=True):
        for key in type(getattr(Config(), section)).model_fields:
            assert f"\n| `{key}` | " in text


def test_types_are_in_words() -> None:
    """Types have standard names, and bounds follow them."""
    whole = {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 16_777_216}
    assert describe_type(whole) == "integer > 0, < 16777216"
    assert describe_type({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "text or null"
    assert describe_type({"enum": ["a", "b"]}) == "`a`, `b`"
