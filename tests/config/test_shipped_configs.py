"""Laws of the shipped configs: each is valid, named and described."""

from pathlib import Path

import pytest
from support.configs import KEYS, SECTIONS, SHIPPED, value_of

from charlm.config.load import config_names, load_config
from charlm.config.schema import Config


def test_the_test_knows_every_section() -> None:
    assert list(SECTIONS) == list(Config.model_fields)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_are_configs(path: Path) -> None:
    """Every YAML file in configs/ is a config, found by its name."""
    assert path.suffix == ".yaml"
    assert load_config(path.stem) == load_config(path)


def test_the_names_are_those_of_the_files() -> None:
    assert config_names() == [path.stem for path in SHIPPED]
    assert {"quickstart", "textbook-random", "textbook-sequential", "tiny-shakespeare"} <= set(
        config_names()
    )


def test_quickstart_is_the_default() -> None:
    """Without a name, the config is quickstart."""
    assert load_config() == load_config("quickstart")


@pytest.mark.parametrize("sampling", ["random", "sequential"])
def test_the_textbook_configs_are_the_books(sampling: str) -> None:
    config = load_config(f"textbook-{sampling}")
    expected = {
        "corpus.builtin": "lyrics-zh",
        "corpus.max_characters": 10_000,
        "corpus.newlines": "space",
        "batches.sampling": sampling,
        "batches.batch_size": 32,
        "batches.sequence_length": 35,
        "model.cell": "rnn",
        "model.nonlinearity": "tanh",
        "model.num_layers": 1,
        "model.hidden_size": 256,
        "model.embedding_size": None,
        "model.initialization": "normal",
        "training.epochs": 250,
        "training.optimizer": "sgd",
        "training.momentum": 0,
        "training.weight_decay": 0,
        "training.learning_rate": 100,
        "training.schedule": "constant",
        "training.warmup_steps": 0,
        "training.max_gradient_norm": 0.01,
    }
    assert {name: value_of(config, name) for name in expected} == expected


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_described(name: str) -> None:
    """Every key has a default and a description."""
    section, key = name.split(".")
    field = type(getattr(Config(), section)).model_fields[key]
    assert not field.is_required()
    assert field.description
    assert len(field.description) > 5
