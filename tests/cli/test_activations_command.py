"""`charlm activations`: the table, JSON, CSV, members of an ensemble, and what it refuses."""

import csv
import io
import json
from pathlib import Path

import pytest
from support.commands import refused, run, train
from support.texts import TEXT

OTHER = TEXT[: len(TEXT) // 2].upper() + TEXT[100:2000]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.txt"
    path.write_text(OTHER, "utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train(folder / "text.txt", folder / "runs")


def test_people_read_a_table_of_units(trained: Path, other: Path) -> None:
    """The rows are those of the JSON; the file may be omitted, or come from a pipe."""
    shown = run("activations", trained, other)
    assert shown.exit_code == 0, shown.output
    found = json.loads(run("activations", trained, other, "--json", "-q").stdout)
    lines = shown.stdout.splitlines()
    for line, one in zip(lines[1:], found["features"], strict=False):
        unit = f"{one['state']}{one['number']} of layer {one['layer']}"
        assert line.startswith(f"{one['feature']} ")
        assert f" {unit} " in line
        unseen = [] if one["unseen"] is None else [f"{one['unseen']:+.3f}"]
        assert line.split(unit)[1].split() == [f"{one['found']:+.3f}", *unseen]
    assert f"{found['characters']:,} characters" in lines[-1]
    piped = run("activations", trained, "-", "--json", stdin=other.read_bytes())
    assert json.loads(piped.stdout)["features"] == found["features"]
    assert json.loads(run("activations", trained, "--json").stdout)["text"] == "test split"


def test_all_correlations_are_a_csv(trained: Path, other: Path) -> None:
    """A row for each feature and unit: an LSTM of 16 has 16 of H and 16 of C."""
    shown = run("activations", trained, other, "--csv")
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    features = {row["feature"] for row in rows}
    assert len(rows) == 32 * len(features)
    best = json.loads(run("activations", trained, other, "--json").stdout)["features"][0]
    (row,) = [
        row
        for row in rows
        if (row["feature"], row["state"], row["number"])
        == (best["feature"], best["state"], str(best["number"]))
    ]
    assert float(row["found"]) == pytest.approx(best["found"])
    assert float(row["unseen"]) == pytest.approx(best["unseen"])


def test_a_member_of_an_ensemble_is_named(text_file: Path, tmp_path: Path) -> None:
    ensemble = train(text_file, tmp_path, "--set=ensemble.members=2")
    refused(run("activations", ensemble, text_file), "choose --member 1 to 2")
    refused(run("activations", ensemble, text_file, "--member=3"), "has 2 members")
    of_members = [
        json.loads(run("activations", ensemble, text_file, f"--member={one}", "--json").stdout)
        for one in (1, 2)
    ]
    assert [one["member"] for one in of_members] == [1, 2]
    assert of_members[0]["features"] != of_members[1]["features"]


def test_what_cannot_be_searched_is_refused(trained: Path, tmp_path: Path) -> None:
    """In one line each."""
    (tmp_path / "short.txt").write_text("nobody", "utf-8")
    refused(run("activations", trained, tmp_path / "none.txt"), "none.txt")
    refused(run("activations", tmp_path / "none"), "none: no such run or checkpoint")
    refused(run("activations", trained, tmp_path / "short.txt"), "short.txt", "too short")
    refused(run("activations", trained, "--csv", "--json"), "choose one")
