"""A suggestion is a name that somebody may have meant; short names are not similar by chance."""

from pathlib import Path

import pytest

from charlm.config.load import load_config
from charlm.errors import ConfigError
from charlm.suggestions import did_you_mean, did_you_mean_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("te.txt", ""),
        ("a.txt", ""),
        ("tow.txt", ""),
        ("to.txt", "did you mean two.txt?"),
        ("novl.txt", "did you mean novel.txt?"),
        ("novel.md", "did you mean novel.txt?"),
        ("novel", "did you mean novel.txt?"),
        ("mine.yml", "did you mean mine.yaml?"),
    ],
)
def test_an_ending_in_common_makes_no_similarity(name: str, expected: str, tmp_path: Path) -> None:
    known = ["two.txt", "x.txt", "novel.txt", "mine.yaml"]
    for one in known:
        (tmp_path / one).touch()
    assert did_you_mean(name, known) == expected
    shown = did_you_mean_path(tmp_path / name).replace(f"{tmp_path}/", "")
    assert shown == expected


def test_only_configs_are_suggested_for_a_config(tmp_path: Path) -> None:
    (tmp_path / "settings.txt").touch()
    (tmp_path / "settings").mkdir()
    with pytest.raises(ConfigError, match=r"; the shipped ones are "):
        load_config(tmp_path / "setings.yaml")
    (tmp_path / "settings" / "mine.yaml").touch()
    with pytest.raises(ConfigError, match=r"did you mean .*/settings/mine\.yaml\?"):
        load_config(tmp_path / "setings" / "mine.yaml")
    (tmp_path / "settings.yaml").touch()
    with pytest.raises(ConfigError, match=r"did you mean .*/settings\.yaml\?"):
        load_config(tmp_path / "setings.yaml")
