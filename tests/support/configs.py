"""The sections and keys of a config, and configs written for a test."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from charlm.config.load import load_config
from charlm.config.schema import (
    BatchesConfig,
    Config,
    CorpusConfig,
    EnsembleConfig,
    GenerationConfig,
    ModelConfig,
    TrainingConfig,
)

SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"), key=lambda p: p.stem)
SECTIONS: dict[str, list[str]] = {
    "corpus": list(CorpusConfig.model_fields),
    "batches": list(BatchesConfig.model_fields),
    "model": list(ModelConfig.model_fields),
    "training": list(TrainingConfig.model_fields),
    "ensemble": list(EnsembleConfig.model_fields),
    "generation": list(GenerationConfig.model_fields),
}
KEYS = [f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys]


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8", newline="")
    return path


def load_text(folder: Path, text: str, *overrides: str) -> Config:
    return load_config(write(folder, text), overrides)


def value_of(config: Config, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)


texts = st.text(st.characters(exclude_categories=()), max_size=8)
