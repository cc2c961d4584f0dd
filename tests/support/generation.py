"""Small models that generate."""

from typing import Any

import torch

from charlm.config.schema import Config, GenerationConfig, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.ensemble import AnyModel
from charlm.models.language_model import LanguageModel
from charlm.prediction.compiled_generation import CompiledGenerator
from charlm.prediction.generation import (
    generate,
    generate_samples,
)
from charlm.prediction.predictor import Predictor
from charlm.prediction.stepwise_generation import StepwiseGenerator

LETTERS = Vocabulary(tuple(map(ord, "\n abcdefgh")))


def make_predictor(vocabulary: Vocabulary = LETTERS, **generation: Any) -> Predictor:
    config = Config(
        model=ModelConfig(hidden_size=12, embedding_size=6),
        generation=GenerationConfig.model_validate(generation),
    )
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(1))
    return Predictor(model.eval(), vocabulary, config)


def text_of(predictor: Predictor, prefix: str | None = None, **options: Any) -> str:
    return "".join(generate(predictor, prefix, **{"seed": 0, "length": 40, **options}))


def generate_many(predictor: Predictor, prefix: str | None = None, **options: Any) -> list[str]:
    """Generate several texts side by side."""
    start = None if prefix is None else prefix.encode()
    samples = generate_samples(predictor, start, **options)
    return [sample.decode("utf-8", "replace") for sample in samples]


def assert_samples_move(model: AnyModel, kind: type[CompiledGenerator | StepwiseGenerator]) -> None:
    """Assert that a generator continues samples from the logits and the state of another one."""
    config, state = GenerationConfig(), model.initial_state(3)
    logits = torch.randn(3, len(LETTERS), generator=torch.Generator().manual_seed(1))
    uniforms = torch.rand(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = kind(model, logits, state, config, 0).generate(uniforms)
    first = kind(model, logits, state, config, 0)
    assert torch.equal(first.generate(uniforms[:17]), expected[:17])
    moved = torch.tensor([2, 0])
    second = kind(model, first.logits[moved], first.state(moved), config, 0)
    assert torch.equal(second.generate(uniforms[17:, moved]), expected[17:, moved])
