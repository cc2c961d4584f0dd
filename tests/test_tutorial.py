"""The tutorial notebook: whole as it is shown, and the same when it is run again."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.notebooks import run_notebook

NOTEBOOK = Path(__file__).parents[1] / "charlm" / "tutorial.ipynb"
MOST_BYTES = 500_000


def read() -> Any:
    return pytest.importorskip("nbformat").read(NOTEBOOK, 4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(cell: Any) -> str:
    return "".join(
        output.get("text", "") for output in cell["outputs"] if output["output_type"] == "stream"
    )


def assert_is_whole(notebook: Any) -> None:
    """Assert that every cell ran in its order, and has an output that is no error or warning."""
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell["outputs"], cell["source"]
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", output
        assert "\x1b" not in printed(cell)


def test_the_tutorial_is_valid_and_small() -> None:
    """Its outputs are kept, with three plots; it takes less than 500 KB."""
    notebook = read()
    pytest.importorskip("nbformat").validate(notebook)
    assert_is_whole(notebook)
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3


def test_the_tutorial_names_no_machine() -> None:
    """Neither a folder of the computer on which it ran, nor a name in its metadata."""
    notebook = read()
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    words = [cell["source"] for cell in notebook["cells"]]
    words += [printed(cell) for cell in code_cells(notebook)]
    assert not re.search(r"(?<![\w.)`/])/(?:home|root|tmp|work|Users|usr)\b", "\n".join(words))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a new folder, with the same conclusions as those that it shows."""
    notebook = read()
    for cell in code_cells(notebook):
        cell["outputs"], cell["execution_count"] = [], None
    resources = {"metadata": {"path": str(tmp_path)}}
    run_notebook(notebook, tmp_path, monkeypatch, timeout=600, resources=resources)
    assert_is_whole(notebook)
    text = "".join(map(printed, code_cells(notebook)))
    same = r"^(?:charlm's cell is our step|so is the one product) +: True$"
    assert len(re.findall(same, text, re.MULTILINE)) == 2
    rates = dict(re.findall(r"^(tanh|GRU|LSTM, forget bias 3) +(\d+)% right", text, re.MULTILINE))
    assert int(rates["tanh"]) < 40
    assert int(rates["GRU"]) > 95
    assert int(rates["LSTM, forget bias 3"]) > 95
    clipped, unclipped = re.findall(r"40 epochs: ([\d.]+) with clipping, ([\d,]+) without", text)[0]
    assert float(clipped) < 5
    assert int(unclipped.replace(",", "")) > 100
