"""Small models that generate."""

from typing import Any

import torch

from charlm.config.schema import Config, GenerationConfig, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.language_model import LanguageModel
from charlm.prediction.generation import (
    generate,
    generate_samples,
)
from charlm.prediction.predictor import Predictor

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
