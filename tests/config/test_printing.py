"""Laws of printing: a config that is printed is read back unchanged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import SECTIONS, SHIPPED, load_text, texts
from support.properties import examples

from charlm.config.load import load_config, to_yaml
from charlm.config.schema import (
    BatchesConfig,
    Config,
    CorpusConfig,
    GenerationConfig,
    ModelConfig,
    TrainingConfig,
)
from charlm.errors import ConfigError


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_survives_printing(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    assert load_text(tmp_path, to_yaml(config)) == config


def test_every_key_is_printed() -> None:
    printed = to_yaml(Config())
    for section, keys in SECTIONS.items():
        assert f"{section}:\n" in printed
        assert all(f"  {key}:" in printed for key in keys)


@pytest.mark.parametrize(
    ("length", "counts"), [(2, (1_000, 39_000, 40_000)), (200, (1_000, 10_000))]
)
def test_printed_paths_can_be_read_back(
    length: int, counts: tuple[int, ...], tmp_path: Path
) -> None:
    """A run that has begun can be resumed."""
    printed = 0
    for count in counts:
        paths = tuple(f"/{number:0{length}}" for number in range(count))
        config = Config(corpus=CorpusConfig(paths=paths))
        try:
            text = to_yaml(config)
        except ConfigError as refusal:
            assert f"{count:,} paths are too many" in str(refusal)
            break
        assert load_text(tmp_path, text) == config
        printed = count
    assert printed == counts[-2]


LOOKALIKES = [
    "", " ", "~", "null", "true", "no", "1", "1.5", "1e3", "1.e5", "-1e-3", ".5", ".inf", ".nan",
    "1:30", "0x10", "0o7", "007", "1_000", "2001-12-14", "=", "<<", "-", "- a", "? a", "a: b",
    "a #b", "# a", "[a]", "{a}", "*a", "&a", "!a", "%a", "@a", "`a", "'a'", '"a"', "|", ">", "\\",
    "\n", "\r", "\r\n", "\t", "a\n\n b", " a", "a ", "\0", "\x7f", "\x85", "a\x85b", "\xa0",
    "\u2028", "\u2029", "\ufeff", "a\ufeff", "\ud800", "\udfff", "\ufffe", "\uffff", "😀",
    "\U0010ffff", "分开", "e\u0301",
]  # fmt: skip


@pytest.mark.parametrize("prefix", LOOKALIKES, ids=ascii)
def test_ambiguous_text_survives_printing(prefix: str, tmp_path: Path) -> None:
    """A text that looks like another YAML value is read back as text."""
    config = Config(generation=GenerationConfig(prefix=prefix))
    assert load_text(tmp_path, to_yaml(config)) == config


counts = st.integers(1, 2**40)
positive = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)
fractions = st.floats(0, 1)
decays = st.floats(0, 1, exclude_max=True)
sizes = st.integers(1, 2**24 - 1)
splits = st.floats(0.001, 1).map(lambda train: (train, 1 - train, 0.0))
file_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\:\0~"), min_size=1, max_size=8
).filter(lambda name: name.strip(".") != "")
paths = file_names.map(lambda name: str(Path(Path.cwd().anchor) / name)) | st.just("-")
path_lists = st.lists(paths, max_size=3).map(tuple)


@st.composite
def drawn_configs(draw: st.DrawFn) -> Config:
    """A config with every key drawn."""
    is_bytes = draw(st.booleans())
    own_paths = draw(path_lists)
    is_tied = draw(st.booleans())
    hidden_size = draw(sizes)
    return Config(
        corpus=CorpusConfig(
            paths=own_paths,
            builtin=None if own_paths else draw(st.sampled_from(["lyrics-zh", "python-docs"])),
            validation_paths=draw(path_lists),
            test_paths=draw(path_lists),
            unit="byte" if is_bytes else "character",
            encoding=draw(st.sampled_from(["auto", "utf-8", "latin-1", "gb18030", "utf_16"])),
            encodings=draw(st.dictionaries(paths, st.just("cp1252"), max_size=2)),
            newlines="keep" if is_bytes else draw(st.sampled_from(["keep", "unify", "space"])),
            normal_form="none" if is_bytes else draw(st.sampled_from(["none", "NFC", "NFKD"])),
            max_characters=draw(st.none() | counts),
            minimum_count=draw(counts),
            vocabulary_from=draw(st.sampled_from(["train", "all"])),
            split=draw(splits),
        ),
        batches=BatchesConfig(
            sampling=draw(st.sampled_from(["random", "sequential"])),
            batch_size=draw(sizes),
            sequence_length=draw(sizes),
        ),
        model=ModelConfig(
            cell=draw(st.sampled_from(["rnn", "gru", "lstm", "mogrifier"])),
            nonlinearity=draw(st.sampled_from(["tanh", "relu"])),
            num_layers=draw(st.integers(1, 100)),
            hidden_size=hidden_size,
            embedding_size=hidden_size if is_tied else draw(st.none() | sizes),
            dropout=draw(st.floats(0, 1, exclude_max=True)),
            tie_weights=is_tied,
            initialization=draw(st.sampled_from(["uniform", "orthogonal", "normal"])),
            implementation=draw(st.sampled_from(["fused", "equations"])),
        ),
        training=TrainingConfig(
            epochs=draw(st.none() | positive),
            steps=draw(st.none() | counts),
            budget=draw(st.none() | positive),
            optimizer=draw(st.sampled_from(["adamw", "sgd"])),
            learning_rate=draw(positive),
            momentum=draw(fractions),
            betas=draw(st.tuples(decays, decays)),
            weight_decay=draw(positive),
            schedule=draw(st.sampled_from(["constant", "cosine", "linear"])),
            warmup_steps=draw(st.integers(0, 10**6)),
            final_learning_rate=draw(fractions),
            max_gradient_norm=draw(st.none() | positive),
            validate_every=draw(st.none() | counts),
            patience=draw(st.none() | counts),
            seed=draw(st.integers(0, 2**62 - 1)),
            device=draw(st.sampled_from(["auto", "cpu", "cuda", "mps"])),
            start_from=draw(st.none() | paths.filter(lambda path: path != "-")),
        ),
        generation=GenerationConfig(
            prefix=draw(texts),
            length=draw(counts),
            greedy=draw(st.booleans()),
            temperature=draw(st.floats(0, 100)),
            top_k=draw(st.none() | counts),
            top_p=draw(st.floats(0, 1, exclude_min=True)),
            min_p=draw(fractions),
        ),
    )


@given(config=drawn_configs())
@examples(80)
def test_any_config_survives_printing(config: Config, scratch: Path) -> None:
    assert load_text(scratch, to_yaml(config)) == config
