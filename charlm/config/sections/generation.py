"""The section `generation`: how text is generated."""

from typing import Annotated, TypedDict

from pydantic import Field, NonNegativeFloat, PositiveInt

from charlm.config.sections.section import Section


class GenerationConfig(Section):
    """How text is generated, for the samples of a run and for `charlm generate`."""

    prefix: str = ""
    """Beginning of the text; characters outside the vocabulary are omitted."""
    length: PositiveInt = 300
    """Characters to generate (bytes, with `unit: byte`)."""
    greedy: bool = False
    """Always take the likeliest character, as in the book."""
    temperature: NonNegativeFloat = 1.0
    """Divisor of the logits; 0 means greedy."""
    top_k: PositiveInt | None = None
    """Draw only from the k likeliest characters."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Draw only from the likeliest characters that together have this probability (nucleus
    sampling)."""
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Drop characters less likely than this fraction of the likeliest one."""


class GenerationSettings(TypedDict, total=False):
    """Keys of `GenerationConfig` that a call may set; None is the value of the model's config."""

    length: int | None
    greedy: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
