"""Laws of configs: what YAML means here, every mistake at once, and that printing loses nothing."""

import codecs
import datetime
import json
import math
from encodings.aliases import aliases
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from charlm.config.load import (
    config_names,
    load_config,
    make_config,
    override,
    to_yaml,
)
from charlm.config.schema import (
    BatchesConfig,
    Config,
    CorpusConfig,
    EnsembleConfig,
    GenerationConfig,
    ModelConfig,
    TrainingConfig,
)
from charlm.errors import ConfigError

SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"), key=lambda p: p.stem)
SECTIONS: dict[str, list[str]] = {
    "corpus": list(CorpusConfig.model_fields),
    "batches": list(BatchesConfig.model_fields),
    "model": list(ModelConfig.model_fields),
    "training": list(TrainingConfig.model_fields),
    "ensemble": list(EnsembleConfig.model_fields),
    "generation": list(GenerationConfig.model_fields),
}
NO_TEXT = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec",
           "zlib_codec", "mbcs", "oem"}  # fmt: skip
"""Codecs of bytes to bytes, and those that only Windows has."""
KEYS = [f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property write to."""
    return tmp_path_factory.mktemp("scratch")


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8", newline="")
    return path


def load_text(folder: Path, text: str, *overrides: str) -> Config:
    return load_config(write(folder, text), overrides)


def value_of(config: Config, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)


# What ships


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


# What YAML means here


@pytest.mark.parametrize(
    ("written", "name", "expected"),
    [
        ("1e-3", "training.learning_rate", 0.001),
        ("1E-3", "training.learning_rate", 0.001),
        ("2.e1", "training.learning_rate", 20.0),
        (".5", "training.learning_rate", 0.5),
        ("+1", "training.learning_rate", 1.0),
        ("100", "training.learning_rate", 100.0),
        ("no", "generation.prefix", "no"),
        ("off", "generation.prefix", "off"),
        ("Yes", "generation.prefix", "Yes"),
        ("on", "generation.prefix", "on"),
        ("y", "generation.prefix", "y"),
        ("1:30", "generation.prefix", "1:30"),
        ("1_000", "generation.prefix", "1_000"),
        ("2001-12-14", "generation.prefix", "2001-12-14"),
        ("=", "generation.prefix", "="),
        ("<<", "generation.prefix", "<<"),
        ("'true'", "generation.prefix", "true"),
        ('"1e3"', "generation.prefix", "1e3"),
        ("'ROMEO:'", "generation.prefix", "ROMEO:"),
        ("true", "generation.greedy", True),
        ("False", "generation.greedy", False),
        ("null", "generation.top_k", None),
        ("~", "model.embedding_size", None),
        ("[a.txt, no]", "corpus.validation_paths", ("a.txt", "no")),
        ("a.txt", "corpus.validation_paths", ("a.txt",)),
        ("[1, 0, 0]", "corpus.split", (1.0, 0.0, 0.0)),
        ("latin1", "corpus.encoding", "iso8859-1"),
        ("UTF8", "corpus.encoding", "utf-8"),
    ],
)
def test_a_value_means_what_it_looks_like(
    written: str, name: str, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    section, key = name.split(".")
    if name.endswith("_paths"):
        expected = tuple(str(tmp_path / path) for path in expected)
    in_file = value_of(load_text(tmp_path, f"{section}:\n  {key}: {written}\n"), name)
    in_setting = value_of(override(Config(), [f"{name}={written}"]), name)
    assert in_file == in_setting == expected
    assert type(in_file) is type(in_setting) is type(expected)


def test_missing_value_is_null(tmp_path: Path) -> None:
    """A key of a file without a value is null."""
    assert load_text(tmp_path, "model:\n  embedding_size:\n").model.embedding_size is None


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("true", "batches.batch_size"),
        ("true", "training.learning_rate"),
        ("true", "training.epochs"),
        ("true", "training.budget"),
        ("true", "training.seed"),
        ("1", "generation.greedy"),
        ("yes", "generation.greedy"),
        ("off", "model.tie_weights"),
        ("no", "generation.top_k"),
        ("1:30", "training.budget"),
        ("1:30", "batches.batch_size"),
        ("1_000", "batches.batch_size"),
        ("'64'", "batches.batch_size"),
        ("64.0", "batches.batch_size"),
        ("1e3", "batches.batch_size"),
        ("010", "batches.batch_size"),
        ("64", "generation.prefix"),
        ("null", "generation.prefix"),
        ("null", "batches.batch_size"),
        ("0", "batches.batch_size"),
        ("-1", "training.seed"),
        (".nan", "training.learning_rate"),
        (".inf", "training.learning_rate"),
        ("1e999", "training.learning_rate"),
        ("0", "training.learning_rate"),
        ("1.0", "model.dropout"),
        ("0", "generation.top_p"),
        ("LSTM", "model.cell"),
        ("[lstm]", "model.cell"),
        ("{a: 1}", "model.cell"),
        ("[a.txt, 3]", "corpus.paths"),
        ("3", "corpus.paths"),
        ("[0.9, 0.1]", "corpus.split"),
        ("[0.9, 0.1, 0.1]", "corpus.split"),
        ("[0.9, 0.1, 0, 0]", "corpus.split"),
        ("[0.9, 0.99, 0.999]", "training.betas"),
        ("[0, 0.5, 0.5]", "corpus.split"),
        ("[1.5, -0.5, 0]", "corpus.split"),
        ("utf-9", "corpus.encoding"),
        ("base64", "corpus.encoding"),
        ("rot13", "corpus.encoding"),
        ('"utf-8\\0"', "corpus.encoding"),
    ],
)
def test_wrong_type_names_key_and_value(written: str, name: str, tmp_path: Path) -> None:
    """A value of the wrong type raises an error that names key and value."""
    section, key = name.split(".")
    with pytest.raises(ConfigError, match=rf"run\.yaml: .*{section}\.{key}.* is .*should "):
        load_text(tmp_path, f"{section}:\n  {key}: {written}\n")
    with pytest.raises(ConfigError, match=rf"{section}\.{key}.* is .*should "):
        override(Config(), [f"{name}={written}"])


@pytest.mark.parametrize(
    "text",
    [
        "model:\n  cell: rnn\n  cell: gru\n",
        "model: {cell: rnn, hidden_size: 3, cell: rnn}\n",
        "model:\n  cell: rnn\nbatches: {}\nmodel:\n  cell: gru\n",
    ],
)
def test_repeated_key_is_refused(text: str, tmp_path: Path) -> None:
    """A key that a file repeats raises an error with the line."""
    with pytest.raises(ConfigError, match=r"run\.yaml.*line \d.*(cell|model) is repeated"):
        load_text(tmp_path, text)


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "~\n", "\ufeff", "model:\n"])
def test_empty_file_means_defaults(text: str, tmp_path: Path) -> None:
    """A file that sets nothing gives the default config."""
    assert load_text(tmp_path, text) == Config()


def test_windows_files_are_read(tmp_path: Path) -> None:
    """A file may have a byte order mark and the line ends of Windows."""
    config = load_text(tmp_path, "\ufeffmodel:\r\n  cell: gru\r\ntraining:\r\n  seed: 3\r\n")
    assert (config.model.cell, config.training.seed) == ("gru", 3)


@given(
    hours=st.integers(0, 100), minutes=st.integers(0, 100), seconds=st.integers(1, 1000) | st.none()
)
@settings(deadline=None)
def test_durations_add_up(hours: int, minutes: int, seconds: int | None) -> None:
    total = 3600 * hours + 60 * minutes + (seconds or 0)
    if total == 0:
        return
    parts = [
        f"{hours}h" * (hours > 0),
        f"{minutes}m" * (minutes > 0),
        f"{seconds}s" * bool(seconds),
    ]
    for written in ("".join(parts), " ".join(parts)):
        assert TrainingConfig(budget=written).budget == total  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), ("3m", 180), ("3min", 180), ("1h30m", 5400), ("1.5h", 5400),
     ("0.5m", 30), ("1e3", 1000), ("2.5", 2.5)],
)  # fmt: skip
def test_durations_in_a_config(written: str, seconds: float, tmp_path: Path) -> None:
    config = load_text(tmp_path, f"training: {{budget: {written}}}")
    assert config.training.budget == seconds


@pytest.mark.parametrize(
    "written",
    ["0", "0s", "-3m", "3m2h", "m", "h", ".", "1.2.3s", "3x", "three", "nan", "inf", "''", "' '",
     "[]", "3m3m", "1e3s", "9" * 400 + "s"],
)  # fmt: skip
def test_wrong_duration_is_refused(written: str, tmp_path: Path) -> None:
    """A text that is not a duration raises an error that names the key."""
    with pytest.raises(ConfigError, match=r"training\.budget"):
        load_text(tmp_path, f"training: {{budget: {written}}}")


@pytest.mark.parametrize("name", sorted(set(aliases.values())))
def test_accepted_encodings_can_decode(name: str) -> None:
    """Each encoding of Python is refused, or decodes text."""
    try:
        encoding = CorpusConfig(encoding=name).encoding
    except ValueError:
        assert name in NO_TEXT
        return
    assert CorpusConfig(encoding=encoding).encoding == encoding
    assert codecs.lookup(encoding).name == codecs.lookup(name).name
    assert codecs.getincrementaldecoder(encoding)() is not None


# Mistakes


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
        "model.hiden_size is not a key; did you mean hidden_size?",
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


# Settings


def test_last_setting_wins(tmp_path: Path) -> None:
    """Settings replace values of the file, and later ones replace earlier ones."""
    text = "model: {cell: gru, hidden_size: 7}\ntraining: {epochs: 3}\n"
    config = load_text(
        tmp_path, text, "model.hidden_size=8", "model.hidden_size=9", "training.epochs=null",
        "training.steps=5", " batches.batch_size = 2 ", "generation.prefix=a=b",
    )  # fmt: skip
    assert (config.model.cell, config.model.hidden_size) == ("gru", 9)
    assert (config.training.epochs, config.training.steps) == (None, 5)
    assert config.batches.batch_size == 2
    assert config.generation.prefix == "a=b"


def test_override_changes_only_set_keys() -> None:
    """`override` changes only the keys that are set."""
    before = load_config("textbook-random")
    after = override(before, ["training.seed=7", "corpus.minimum_count=2"])
    assert after.training.seed == 7
    assert after.corpus.minimum_count == 2
    undone = override(after, ["training.seed=0", "corpus.minimum_count=1"])
    assert undone == before
    assert override(before, []) == before


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
    for expected in ["model.cell is 'x'", "did you mean cell?", "batches.batch_size is 0"]:
        assert expected in str(caught.value)


def test_ten_epochs_without_a_limit() -> None:
    """Without a limit, training takes ten epochs; any limit is valid alone."""
    assert Config().training.epochs == 10
    assert make_config({"training": {"steps": 5}}, "a test").training.epochs is None
    assert override(Config(), ["training.epochs=null"]).training.epochs == 10


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


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().model.cell = "gru"


# Paths


def test_paths_are_relative_to_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths in a file are relative to its folder, in settings to the current one."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = """
        corpus:
          paths: [one.txt, sub/*.txt, ../up.txt, -]
          validation_paths: two.txt
          test_paths: [three.txt]
    """
    write(tmp_path / "configs", text)
    for source in (Path("../configs/run.yaml"), tmp_path / "configs" / "run.yaml"):
        corpus = load_config(source, ["corpus.test_paths=[four.txt, -]"]).corpus
        folder = (tmp_path / "configs").resolve()
        expected = [folder / "one.txt", folder / "sub" / "*.txt", folder / ".." / "up.txt"]
        assert corpus.paths == (*map(str, expected), "-")
        assert corpus.validation_paths == (str(folder / "two.txt"),)
        assert corpus.test_paths == (str(Path.cwd() / "four.txt"), "-")


def test_absolute_and_home_paths_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute paths stay as they are, and ~ becomes the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    absolute = str(tmp_path / "text.txt")
    (tmp_path / "sub").mkdir()
    text = f"corpus: {{paths: ['{absolute}', ~/mine.txt]}}"
    expected = (absolute, str(tmp_path / "home" / "mine.txt"))
    assert load_text(tmp_path / "sub", text).corpus.paths == expected
    given_on_the_command_line = override(Config(), [f"corpus.validation_paths=['{absolute}']"])
    assert given_on_the_command_line.corpus.validation_paths == (absolute,)


def test_text_replaces_that_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`text` replaces the text that the config names."""
    monkeypatch.chdir(tmp_path)
    for given_text in ("a.txt", Path("a.txt"), ["a.txt"], (Path("a.txt"),)):
        corpus = load_config("quickstart", text=given_text).corpus
        assert (corpus.paths, corpus.builtin) == ((str(tmp_path / "a.txt"),), None)
    several = load_config("quickstart", text=["-", "b/*.txt"])
    assert several.corpus.paths == ("-", str(tmp_path / "b" / "*.txt"))
    assert override(several, [], ()) == several


@pytest.mark.skipif(not hasattr(Path, "owner"), reason="no users here")
def test_unknown_home_is_kept_as_typed(tmp_path: Path) -> None:
    """The home folder of an unknown user stays as typed."""
    nobody = "~no-user-of-this-name/text.txt"
    config = load_text(tmp_path, f"corpus: {{paths: {nobody}}}")
    assert config.corpus.paths == (str(tmp_path / nobody),)
    assert override(Config(), [], nobody).corpus.paths == (str(Path.cwd() / nobody),)


# Printing


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_survives_printing(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    assert load_text(tmp_path, to_yaml(config)) == config


def test_every_key_is_printed() -> None:
    printed = to_yaml(Config())
    for section, keys in SECTIONS.items():
        assert f"{section}:\n" in printed
        assert all(f"  {key}:" in printed for key in keys)


@pytest.mark.parametrize("length", [2, 200])
def test_printed_paths_can_be_read_back(length: int, tmp_path: Path) -> None:
    """A run that has begun can be resumed."""
    printed = 0
    for count in (1_000, 10_000, 30_000, 100_000):
        paths = tuple(f"/{number:0{length}}" for number in range(count))
        config = Config(corpus=CorpusConfig(paths=paths))
        try:
            text = to_yaml(config)
        except ConfigError as refusal:
            assert f"{count:,} paths are too many" in str(refusal)
            break
        assert load_text(tmp_path, text) == config
        printed = count
    assert 1_000 <= printed < 100_000


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


texts = st.text(st.characters(exclude_categories=()), max_size=8)
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
            encoding=draw(st.sampled_from(["utf-8", "latin-1", "gb18030", "utf_16", "cp1252"])),
            newlines="keep" if is_bytes else draw(st.sampled_from(["keep", "normalise", "space"])),
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
@settings(max_examples=80, deadline=None)
def test_any_config_survives_printing(config: Config, scratch: Path) -> None:
    assert load_text(scratch, to_yaml(config)) == config


# Anything at all

numbers = st.integers() | st.sampled_from([10**400, -(10**400), 2**63, 2**64, 0, 1, -1])
scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | numbers
    | st.floats()
    | texts
    | st.binary(max_size=4)
    | st.dates()
    | st.sampled_from(["lstm", "random", "byte", "3m", "utf-8", "hex", "NFC", [0.9, 0.05, 0.05]])
)
key_names = (
    st.sampled_from([*SECTIONS, *(key for keys in SECTIONS.values() for key in keys)]) | texts
)
junk: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(key_names | scalars.filter(lambda key: not isinstance(key, list)), inner)
    ),
    max_leaves=12,
)
nearly_configs = st.dictionaries(
    st.sampled_from(list(SECTIONS)), st.dictionaries(key_names, junk, max_size=5) | junk, max_size=5
)


@given(keys=nearly_configs | junk)
@example(keys={"corpus": {"paths": ["~no-user-of-this-name"]}})
@example(keys={"corpus": {"split": [math.nan, 1.0, 0.0]}})
@example(keys={"training": {"budget": datetime.date(2001, 12, 14)}})
@settings(max_examples=300, deadline=None)
def test_junk_is_a_config_or_a_config_error(keys: Any) -> None:
    try:
        config = make_config(keys, "a test")
    except ConfigError as mistake:
        assert str(mistake).startswith("a test: ")
    else:
        assert make_config(config.model_dump(), "again") == config


yaml_pieces = st.sampled_from(
    ["model", "training", "corpus", "cell", "paths", "budget", "lstm", "~", "~x", "-", ": ", ":\n",
     "\n", "\n  ", "- ", "? ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<: ", "!!bool ", "!!int ",
     "!!float ", "!!null ", "!!str ", "!!binary ", "!!timestamp ", "!!omap ", "!!pairs ", "!!set ",
     "!!map ", "!!seq ", "!x ", "!<tag:yaml.org,2002:int> ", "'", '"', "\\", "|\n", ">-\n ", "#",
     "%YAML 1.1\n", "%TAG ! tag:x,1:\n", "---\n", "...\n", "1", "1e3", "0x1f", "1:30", "true",
     "2001-12-14", "\t", " ", "\r", "\x85", "\u2028", "\ufeff", "@", "`", "="]
)  # fmt: skip
yaml_like = st.lists(yaml_pieces | st.text(max_size=3), max_size=12).map("".join)


@given(text=yaml_like | st.text())
@settings(max_examples=400, deadline=None)
def test_any_text_gives_config_or_error(text: str, scratch: Path) -> None:
    """Any text as a config file gives a config or a ConfigError."""
    try:
        load_text(scratch, text)
    except ConfigError as mistake:
        assert "run.yaml" in str(mistake)


@given(data=st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_config_or_error(data: bytes, scratch: Path) -> None:
    """Any bytes as a config file give a config or a ConfigError."""
    (scratch / "bytes.yaml").write_bytes(data)
    try:
        load_config(scratch / "bytes.yaml")
    except ConfigError as mistake:
        assert "bytes.yaml" in str(mistake)


@given(
    setting=st.builds("{}={}".format, st.sampled_from(KEYS), yaml_like | texts)
    | yaml_like
    | st.text(st.characters(exclude_categories=()))
)
@settings(max_examples=300, deadline=None)
def test_any_setting_gives_config_or_error(setting: str) -> None:
    """Any setting gives a config or a ConfigError."""
    try:
        override(Config(), [setting])
    except ConfigError as mistake:
        assert str(mistake)


@given(name=texts | yaml_like)
@settings(max_examples=100, deadline=None)
def test_any_name_gives_config_or_error(name: str) -> None:
    """Any name of a config gives a config or a ConfigError."""
    try:
        load_config(name)
    except ConfigError as mistake:
        expected = ("neither a config file", "a folder, not a config", "no home folder")
        assert any(words in str(mistake) for words in expected)


def test_replace_changes_named_keys_only() -> None:
    """A mapping changes keys of a section; a section takes the place of another."""
    config = Config(training=TrainingConfig(epochs=None, steps=7, seed=3))
    model = config.model.replace(hidden_size=8)
    changed = config.replace(training={"steps": 9}, model=model)
    assert changed.training == config.training.replace(steps=9)
    assert (changed.training.seed, changed.model, changed.corpus) == (3, model, config.corpus)
    assert config.training.steps == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": 0}},
        {"model": {"tie_weights": True}},
        {"corpus": {"vocabulary": "extend"}},
        {"corpus": 1},
    ],
)
def test_replace_validates(changes: dict[str, Any]) -> None:
    """Wrong values and contradictions raise the error of a new config."""
    with pytest.raises(ValidationError):
        Config().replace(**changes)
