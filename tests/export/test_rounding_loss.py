"""`export --to web` states how rounding to integers changes the loss."""

import math
from pathlib import Path

import pytest
from support.commands import run, train
from support.exports import saved_with_text
from support.texts import TEXT

from charlm.export import rounding_loss
from charlm.export.rounding_loss import describe_rounding_loss
from charlm.models.ensemble import Ensemble
from charlm.portable.checkpoint_network import read_network
from charlm.portable.evaluation import evaluate_with_integers, integer_nats
from charlm.prediction.evaluation import evaluate_text
from charlm.prediction.predictor import load
from charlm.prediction.scoring import nats_of_each


def stated(path: Path) -> tuple[float, str]:
    """Return the change of a checkpoint's loss, and what it was measured on."""
    line = describe_rounding_loss(path, read_network(path)[0])
    begin, _, measured_on = line.partition(" bits per character (on ")
    return float(begin.removeprefix("rounding to integers changes the loss by ")), measured_on


def test_it_is_the_difference_of_two_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eval --portable` less `eval`: on the whole split, or on the beginning of a long one."""
    (tmp_path / "novel.txt").write_text(TEXT, "utf-8")
    predictor = saved_with_text(tmp_path / "network", tmp_path / "novel.txt")
    network, _ = read_network(tmp_path / "network")
    exact = evaluate_text(predictor)
    rounded = evaluate_with_integers(predictor, network)
    change, measured_on = stated(tmp_path / "network")
    expected = rounded.score.bits_per_character - exact.score.bits_per_character
    assert change == pytest.approx(expected, abs=6e-6)
    assert measured_on == f"{exact.score.characters:,} characters of the test split)"
    monkeypatch.setattr(rounding_loss, "_MAX_CHARACTERS", 51)
    change, measured_on = stated(tmp_path / "network")
    expected = (rounded.nats[:50].mean() - exact.nats[:50].mean()) / math.log(2)
    assert change == pytest.approx(expected, abs=6e-6)
    assert measured_on == "50 characters of the test split)"


def test_of_an_ensemble_it_is_the_network_s(tmp_path: Path) -> None:
    """The network that is exported is compared with itself, and not with the mixture."""
    (tmp_path / "novel.txt").write_text(TEXT, "utf-8")
    train(tmp_path / "novel.txt", tmp_path / "runs", "--name", "mix", "--set=ensemble.members=2")
    best = tmp_path / "runs" / "mix" / "checkpoints" / "best.safetensors"
    network, remark = read_network(best)
    number = int(remark.partition("using network ")[2].split()[0])
    predictor = load(tmp_path / "runs" / "mix")
    ids = evaluate_text(predictor).text.split.ids
    assert isinstance(predictor.model, Ensemble)
    exact = nats_of_each(predictor.model.members[number - 1], ids).mean(dtype=float)
    expected = (integer_nats(network, ids).mean() - exact) / math.log(2)
    assert stated(best)[0] == pytest.approx(expected, abs=6e-6)
    result = run("export", tmp_path / "runs" / "mix", "--to", "web", "-o", tmp_path / "page.html")
    assert "rounding to integers changes the loss by" in result.stderr


def test_without_the_text_it_says_how(tmp_path: Path) -> None:
    """A missing training text is no error: the page is written, and the line names commands."""
    (tmp_path / "novel.txt").write_text(TEXT, "utf-8")
    saved_with_text(tmp_path / "network", tmp_path / "novel.txt")
    (tmp_path / "novel.txt").unlink()
    result = run("export", tmp_path / "network", "--to", "web", "-o", tmp_path / "page.html")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'page.html'}\n"), result.output
    line = " ".join(result.stderr.split())
    assert "not measured how rounding to integers changes the loss" in line
    assert "compare charlm eval --text FILE with and without --portable" in line
