"""What the commands say of a model that reads bytes."""

from pathlib import Path

from support.commands import run

from charlm.analysis.run_history import read_history
from charlm.pages.report import report_page
from charlm.pages.report_charts import other_charts


def test_byte_models_speak_of_bytes(text_file: Path, tmp_path: Path) -> None:
    """In training and in scores: what was counted in bytes is not called characters."""
    settings = ("corpus.unit=byte", "ensemble.members=1", "ensemble.ngram_order=3")
    options = [f"--set={one}" for one in (*settings, "training.steps=4", "training.budget=null")]
    trained = run("train", "--text", text_file, "--runs", tmp_path, "--name=r", *options)
    scored = run("eval", tmp_path / "r", "--baselines")
    shown = run("surprise", tmp_path / "r", text_file)
    histories = [read_history(tmp_path / "r")]
    page = report_page(histories)
    for part in ("bytes read in training", "(network alone)", ", with n-grams"):
        assert part in page
    assert [one.title for one in other_charts(histories)][-1] == "Bytes a second"
    assert "characters read" not in page
    for result, parts in (
        (trained, ["bits/byte", "bits per byte", "test bytes", "bytes of the training text"]),
        (scored, ["bytes of its training text", "bits per byte", "bytes scored", "bytes)"]),
        (shown, ["bytes of its training text", "bits per byte"]),
    ):
        assert result.exit_code == 0, result.output
        said = " ".join(result.output.split())
        assert [part for part in parts if part not in said] == []
        for wrong in ("per character", "bits/character", "characters scored"):
            assert wrong not in said
