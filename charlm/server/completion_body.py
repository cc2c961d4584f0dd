"""The fields of `POST /v1/completions`, and the work that they ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from charlm.config.schema import GenerationConfig
from charlm.errors import ConfigError
from charlm.prediction.generated_ids import sample_generators
from charlm.prediction.generation import generation_config, opening_of, random_seed
from charlm.server.api_error import ApiError
from charlm.server.batch import Sampling
from charlm.server.bodies import Body
from charlm.server.choice import Choice
from charlm.server.limits import Limits
from charlm.server.served import Served
from charlm.server.work import Generation

_MOST_LIKELIEST = 5
_MOST_STOPS = 4
_MOST_STOP_CHARACTERS = 100
_MOST_SKIPPED = 100
_SEEDS = 2**63


class StreamOptions(Body):
    """What a stream contains beside the text."""

    include_usage: bool = False


class CompletionBody(Body):
    """Fields of a request; what is missing is set by the model's config, as for `generate`."""

    model: str | None = None
    prompt: str | list[str] = ""
    max_tokens: int | None = Field(16, ge=1)
    """Characters to generate (bytes, of a byte model)."""
    temperature: float | None = Field(None, ge=0.0, le=100.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    top_k: int | None = Field(None, ge=1)
    min_p: float | None = Field(None, ge=0.0, le=1.0)
    seed: int | None = Field(None, ge=-_SEEDS, lt=_SEEDS)
    stop: str | list[str] | None = None
    n: int | None = Field(1, ge=1)
    logprobs: int | None = Field(None, ge=0, le=_MOST_LIKELIEST)
    echo: bool | None = False
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    unknown: Literal["error", "skip", "map"] = "error"
    """What to do with characters of the prompt that the model does not know."""
    user: Annotated[str | None, Field(description="Ignored.")] = None

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


@dataclass(frozen=True)
class Completion:
    """A request that is checked: its works, one for each prompt, and what surrounds their texts."""

    served: Served
    seed: int
    works: list[Generation]
    prompts: list[str]
    """The prompts as the model reads them."""
    prompt_characters: int
    has_echo: bool
    has_likeliest: bool
    skipped: str = ""
    """Characters of the prompts that were not read, each once, and the first 100 at most."""

    @property
    def choices(self) -> list[Choice]:
        return [choice for work in self.works for choice in work.choices]

    @property
    def usage(self) -> dict[str, int]:
        generated = sum(choice.num_generated for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_characters,
            "completion_tokens": generated,
            "total_tokens": self.prompt_characters + generated,
        }


def make_completion(
    body: CompletionBody, served: Served, limits: Limits, on_change: Callable[[], None]
) -> Completion:
    """Check a request and make its works; raises `ApiError` for what it may not ask for."""
    _check_sizes(body, limits)
    predictor = served.predictor
    if body.logprobs is not None and predictor.vocabulary.unit == "byte":
        raise ApiError(400, "logprobs: this model predicts bytes; omit it", "logprobs")
    if body.logprobs is not None and body.echo:
        raise ApiError(400, "logprobs cannot be combined with echo; use /v1/score", "echo")
    config = _config(body, served)
    seed = random_seed() if body.seed is None else body.seed % _SEEDS
    number = body.n or 1
    forbidden = predictor.vocabulary.unknown_id
    sampling = Sampling(predictor.model, config, forbidden, body.logprobs)
    works, prompts, size = [], [], 0
    for prompt in body.prompts:
        ids = served.encode(prompt, body.unknown)
        size += len(ids)
        prompts.append(predictor.vocabulary.decode(ids) if body.echo else "")
        choices = [
            Choice(predictor, config.length, generator, body.stops, on_change)
            for generator in sample_generators(seed, number)
        ]
        opening = opening_of(predictor, np.asarray(ids), number, seed)
        works.append(
            Generation(
                on_change,
                limits.request_seconds,
                opening=opening,
                sampling=sampling,
                choices=choices,
            )
        )
    has_likeliest = body.logprobs is not None
    skipped = ""
    if body.unknown == "skip":
        unknown = dict.fromkeys("".join(map(served.unknown_in, body.prompts)))
        skipped = "".join(unknown)[:_MOST_SKIPPED]
    return Completion(served, seed, works, prompts, size, bool(body.echo), has_likeliest, skipped)


def _config(body: CompletionBody, served: Served) -> GenerationConfig:
    try:
        return generation_config(
            served.predictor,
            {
                "length": body.max_tokens or 16,
                "temperature": body.temperature,
                "top_p": body.top_p,
                "top_k": body.top_k,
                "min_p": body.min_p,
                "greedy": None if body.temperature is None else False,
            },
        )
    except ConfigError as reason:
        raise ApiError(400, str(reason)) from None


def _check_sizes(body: CompletionBody, limits: Limits) -> None:
    """Raise `ApiError` for the first field that is too long or too large."""
    number, length = (body.n or 1) * len(body.prompts), body.max_tokens or 16
    most, size, beside = limits.generated_characters, length, ""
    if body.logprobs is not None:
        most, size = limits.detailed_characters, number * length
        beside = " of all choices with logprobs"
    sizes: list[tuple[str, int, int, str]] = [
        ("prompt", sum(map(len, body.prompts)), limits.prompt_characters, "characters"),
        ("max_tokens", size, most, f"characters{beside}"),
        ("n", number, limits.choices, "choices"),
        ("stop", len(body.stops), _MOST_STOPS, "texts"),
        ("stop", max(map(len, body.stops), default=0), _MOST_STOP_CHARACTERS, "characters"),
    ]
    for name, size, limit, unit in sizes:
        if size > limit:
            message = f"{name}: {size:,} {unit} are too many; ask for at most {limit:,}"
            raise ApiError(400, message, name, f"{name}_too_large")
    if not body.prompts:
        raise ApiError(400, "prompt: the list is empty; give a text", "prompt")
