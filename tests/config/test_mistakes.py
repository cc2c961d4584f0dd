"""Laws of mistakes: all at once, each with its name, its place and a hint."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.configs import KEYS, SECTIONS, load_text, value_of

from charlm.config.load import load_config, make_config, override
from charlm.config.schema import Config
from charlm.config.shortcuts import with_shortcuts
from charlm.errors import ConfigError


def test_all_mistakes_are_listed_at_once(
    tmp_path: Path,
) -> None:
    """All mistakes are listed at once, with names, values and the nearest keys."""
    text = """
        modle: {}
        model: {cell: gruu, hiden_size: 3, num_layers: -2}
        corpus: {split: [0.9, 0.2, 0.1], unit: word}
        training: {learning_rate: fast, seed: true}
        batches: 3
    """
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text, "generation.top_p=2", "training.epochs=-1")
    message = str(caught.value)
    assert "\n" not in message
    for expected in [
        "run.yaml: 11 mistakes: ",
        "modle is not a key; did you mean model?",
        "model.cell is 'gruu'",
        "model.hiden_size is not a key; did you mean model.hidden_size?",
        "model.num_layers is -2",
        "corpus.split is",
        "corpus.unit is 'word'",
        "training.learning_rate is 'fast'",
        "training.seed is True",
        "batches is 3",
        "generation.top_p is 2",
        "training.epochs is -1",
    ]:
        assert expected in message


@pytest.mark.parametrize("name", KEYS)
def test_misspelt_key_gets_a_suggestion(name: str) -> None:
    """A key with one letter missing names the right key."""
    section, key = name.split(".")
    misspelt = key[:-2] + key[-1]
    with pytest.raises(ConfigError, match=rf"{section}\.{misspelt} is not a key; .*\b{key}\b"):
        make_config({section: {misspelt: 1}}, "a test")


@pytest.mark.parametrize(
    ("misspelt", "key"),
    [
        ("model.hiden", "model.hidden_size"),
        ("model.hidden", "model.hidden_size"),
        ("model.layer", "model.num_layers"),
        ("model.embeding", "model.embedding_size"),
        ("training.gradient", "training.max_gradient_norm"),
        ("batches.sequense", "batches.sequence_length"),
    ],
)
def test_a_misspelt_word_names_the_key(misspelt: str, key: str) -> None:
    """A word of a key, also with a letter missing."""
    section, _, name = misspelt.partition(".")
    with pytest.raises(ConfigError) as caught:
        make_config({section: {name: 1}}, "a test")
    assert str(caught.value).endswith(f"{misspelt} is not a key; did you mean {key}?")


def test_a_misspelt_word_names_the_short_name() -> None:
    with pytest.raises(ConfigError, match=r"hiden= is no short .* did you mean hidden_size\?"):
        with_shortcuts([], {"hiden": 3})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize("section", SECTIONS)
def test_unknown_key_lists_the_known_ones(section: str) -> None:
    """A key unlike all others lists the keys of the section."""
    with pytest.raises(ConfigError) as caught:
        make_config({section: {"qqqqqqqq": 1}}, "a test")
    assert all(key in str(caught.value) for key in SECTIONS[section])


@pytest.mark.parametrize("section", SECTIONS)
def test_setting_hides_no_wrong_section(section: str, tmp_path: Path) -> None:
    """A setting does not hide that its section in the file is not a section."""
    key = SECTIONS[section][0]
    default = value_of(Config(), f"{section}.{key}")
    written = "[a.txt]" if section == "corpus" else json.dumps(default)
    with pytest.raises(ConfigError, match=rf"{section} is 3: .*section"):
        load_text(tmp_path, f"{section}: 3", f"{section}.{key}={written}")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model:\n  cell: [rnn\n", "line"),
        ("model: {\n", "line"),
        ("model:\n\tcell: rnn\n", "line 2"),
        ("a: b: c\n", "line 1"),
        ("--- {}\n--- {}\n", "line 2"),
        ("model: *nowhere\n", "line 1"),
        ("? [a]\n: 1\n", "line 1"),
        ("model: !!python/object/apply:os.getcwd []\n", "line 1"),
        ("model: \x00\n", "special characters"),
        ("[" * 2000, "correct the file"),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_invalid_yaml_names_the_place(text: str, place: str, tmp_path: Path) -> None:
    """A file that is not YAML raises an error with the line."""
    with pytest.raises(ConfigError, match=rf"run\.yaml: .*{place}") as caught:
        load_text(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["!!bool maybe", "!!int ''", "!!int three", "!!float ''", "!!float three", "!!null x",
     "!!timestamp today", "!!timestamp 2001-13-45", "!!binary x", "!!omap x", "!!set x",
     "!!map x", "!!map [x]", "!!set [x]", "!!seq x", "!!pairs x", "!unknown x",
     "!!int -0x" + "f" * 5000],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_yaml_tags_are_refused(text: str, tmp_path: Path) -> None:
    """A YAML tag that does not match its value raises an error."""
    with pytest.raises(ConfigError):
        load_text(tmp_path, f"model:\n  hidden_size: {text}\n")
    with pytest.raises(ConfigError):
        override(Config(), [f"model.hidden_size={text}"])


@pytest.mark.parametrize(
    "text",
    [
        '"a\\nb": 1\n',
        'model:\n  "a\\nb": 1\n',
        '"a\\nb": 1\n"a\\nb": 2\n',
        'model: {cell: "a\\nb"}\n',
        '- "a\\nb"\n',
        '? "a\\n\\nb"\n: *x\n',
    ],
)
def test_a_mistake_is_one_line(text: str, tmp_path: Path) -> None:
    """A mistake takes one line, whatever it quotes."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["just some text\n", "- a\n- b\n", "42\n", "true\n"])
def test_text_as_config_hints_at_text(text: str, tmp_path: Path) -> None:
    """A file that is not a config raises an error that names --text."""
    with pytest.raises(ConfigError, match=r"run\.yaml: .*--text"):
        load_text(tmp_path, text)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no mark", "mark"])
def test_invalid_utf_8_names_the_byte(mark: bytes, tmp_path: Path) -> None:
    """A config that is not UTF-8 raises an error with the position of the byte."""
    path = tmp_path / "run.yaml"
    path.write_bytes(mark + b"generation: {prefix: caf\xe9}\n")
    with pytest.raises(ConfigError, match=rf"run\.yaml: byte {len(mark) + 24} is not UTF-8"):
        load_config(path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("quickstrat", "did you mean quickstart"),
        ("tiny-shakespear", "did you mean tiny-shakespeare"),
        ("zzz", "quickstart.*tiny-shakespeare"),
        ("missing/run.yaml", "neither"),
        ("", "neither"),
        (".", "a folder"),
        ("../configs/quickstart", "neither|quickstart"),
        ("nul\0character", "neither"),
        ("lone\ud800surrogate", "neither"),
        ("a long text where a name belongs " * 20, "neither"),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_missing_config_gets_a_hint(
    name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config that does not exist raises an error with a hint."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=hint):
        load_config(name)


@pytest.mark.parametrize(
    "setting",
    ["", "=", "x", "x=1", "model=1", "model.=1", ".cell=gru", "model.cell", "model.cell gru"],
)
def test_malformed_setting_shows_the_form(setting: str) -> None:
    """A malformed setting raises an error that shows the right form."""
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        override(Config(), [setting])


def test_mistakes_in_settings_are_listed() -> None:
    """Mistakes in several settings are listed at once."""
    with pytest.raises(ConfigError) as caught:
        override(Config(), ["model.cell=x", "model.cel=gru", "batches.batch_size=0"])
    for expected in ["model.cell is 'x'", "did you mean model.cell?", "batches.batch_size is 0"]:
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ({"corpus": {"paths": ["a"], "builtin": "lyrics-zh"}}, "corpus: paths and builtin"),
        ({"corpus": {"unit": "byte", "newlines": "space"}}, "corpus: unit: byte"),
        ({"corpus": {"unit": "byte", "normal_form": "NFC"}}, "corpus: unit: byte"),
        ({"model": {"tie_weights": True, "embedding_size": 3}}, "model: tie_weights"),
        ({"model": {"tie_weights": True, "embedding_size": None}}, "model: tie_weights"),
    ],
)
def test_contradictory_keys_are_refused(keys: Any, mistake: str) -> None:
    """Keys that contradict each other raise an error."""
    with pytest.raises(ConfigError, match=f"^a test: {mistake}"):
        make_config(keys, "a test")
