"""Validate the keys of a section, and copy a section with other values."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

_Section = TypeVar("_Section", bound="Section")  # beartype does not check `Self`


class Section(BaseModel):
    """A frozen group of keys; unknown keys, wrong types and numbers such as nan are mistakes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    def replace(self: _Section, **changes: Any) -> _Section:
        """Return a validated copy with other values; a dict changes keys of a section.

        For example `config.replace(training={"steps": 100})`. Raises `ValidationError`.
        """
        for name, value in changes.items():
            section = getattr(self, name)
            if isinstance(section, Section) and isinstance(value, dict):
                changes[name] = section.replace(**value)
        return self.model_validate(dict(self) | changes)
