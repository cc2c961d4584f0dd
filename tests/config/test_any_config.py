"""Whatever is given as a config, it is one or it raises a ConfigError."""

import datetime
import math
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from support.configs import KEYS, SECTIONS, load_text, texts
from support.properties import examples

from charlm.config.load import load_config, make_config, override
from charlm.config.schema import Config
from charlm.errors import ConfigError

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
@example(keys={"corpus": {"split": 10**400}})
@example(keys={"training": {"budget": datetime.date(2001, 12, 14)}})
@examples(300)
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
@examples(400)
def test_any_text_gives_config_or_error(text: str, scratch: Path) -> None:
    """Any text as a config file gives a config or a ConfigError."""
    try:
        load_text(scratch, text)
    except ConfigError as mistake:
        assert "run.yaml" in str(mistake)


@given(data=st.binary(max_size=100))
@examples(100)
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
@examples(300)
def test_any_setting_gives_config_or_error(setting: str) -> None:
    """Any setting gives a config or a ConfigError."""
    try:
        override(Config(), [setting])
    except ConfigError as mistake:
        assert str(mistake)


@given(name=texts | yaml_like)
@examples(100)
@example(name="~\x00")
@example(name="~\ud800/x")
def test_any_name_gives_config_or_error(name: str) -> None:
    """Any name of a config gives a config or a ConfigError."""
    try:
        load_config(name)
    except ConfigError as mistake:
        expected = ("neither a config file", "a folder, not a config", "no home folder")
        assert any(words in str(mistake) for words in expected)
