"""ONNX: onnxruntime computes what PyTorch computes, for every network."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.exports import NETWORKS, exact_logits, saved_network, some_ids, some_state

from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.export.onnx_file import write_onnx
from charlm.export.onnx_graph import OPSET
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState
from charlm.prediction.generation import generate_text
from charlm.prediction.predictor import Predictor

Exported = tuple[Predictor, LanguageModel, Path]
README = Path(__file__).parents[2] / "charlm" / "export" / "README.md"


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Exported:
    folder = tmp_path_factory.mktemp("onnx")
    predictor = saved_network(folder / "network.safetensors", request.param)
    write_onnx(folder / "network.safetensors", folder / "network.onnx")
    assert isinstance(predictor.model, LanguageModel)
    return predictor, predictor.model, folder / "network.onnx"


def session_of(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(
    session: onnxruntime.InferenceSession, ids: torch.Tensor, state: ModelState
) -> tuple[np.ndarray, ModelState]:
    """Return logits and new state; the names of the states are H_1, C_1, H_2 and so on."""
    feed = {"ids": ids.numpy()}
    for number, layer in enumerate(state, 1):
        feed |= {f"{name}_{number}": t.numpy() for name, t in zip("HC", layer, strict=False)}
    names = ["logits", *(f"new_{name}" for name in feed if name != "ids")]
    logits, *flat = session.run(names, feed)
    tensors = iter(map(torch.from_numpy, flat))
    return logits, tuple(tuple(next(tensors) for _ in layer) for layer in state)


def test_onnx_computes_what_torch_does(exported: Exported) -> None:
    """Over 1,000 characters in four columns, with a state before them and after them."""
    predictor, network, path = exported
    ids, state = some_ids(predictor, 250, 4), some_state(network, 4)
    logits, new_state = run(session_of(path), ids, state)
    with torch.no_grad():
        expected, expected_state = network(ids, state)
    exact = exact_logits(network, ids, state)
    distance = (expected - exact).abs().max().item()
    assert np.abs(logits - expected.numpy()).max() < 1e-4
    assert np.abs(logits - exact.numpy()).max() <= 3 * distance
    for layer, expected_layer in zip(new_state, expected_state, strict=True):
        for one, other in zip(layer, expected_layer, strict=True):
            assert torch.allclose(one, other, atol=1e-4)


def test_onnx_steps_are_the_sequence(exported: Exported) -> None:
    """One graph computes sequences of any length and batch; steps carry the state."""
    predictor, network, path = exported
    session, ids, state = session_of(path), some_ids(predictor, 30, 3), some_state(network, 3)
    whole, _ = run(session, ids, state)
    steps = []
    for one in ids:
        logits, state = run(session, one.unsqueeze(0), state)
        steps.append(logits)
    assert np.abs(np.concatenate(steps) - whole).max() < 1e-5


def test_onnx_writes_the_same_text(exported: Exported) -> None:
    """The likeliest characters, 200 of them."""
    predictor, network, path = exported
    session, state = session_of(path), network.initial_state(1)
    metadata = session.get_modelmeta().custom_metadata_map
    symbols = json.loads(metadata["vocabulary"])["symbols"]
    ids = [int(metadata["boundary_id"])] if metadata["boundary_id"] else []
    inputs, text = [*ids, *(symbols.index(ord(character)) for character in "hallo")], ""
    for _ in range(200):
        logits, state = run(session, torch.tensor(inputs).unsqueeze(1), state)
        logits[-1, 0, 0] = -np.inf  # the unknown symbol
        inputs = [int(logits[-1, 0].argmax())]
        text += chr(symbols[inputs[0]])
    assert text == generate_text(predictor, "hallo", length=200, greedy=True)


def test_onnx_metadata(tmp_path: Path) -> None:
    """Opset, vocabulary, normal form and the boundary stand in the file, which is valid."""
    saved_network(tmp_path / "network.safetensors", "gru of records", normal_form="NFC")
    write_onnx(tmp_path / "network.safetensors", tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import] == [OPSET]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["normal_form"] == "NFC"
    symbols = json.loads(metadata["vocabulary"])["symbols"]
    assert symbols[0] is None
    assert symbols[int(metadata["boundary_id"])] == ord("\n")
    assert metadata["training_text"] == "novel.txt"


def test_onnx_has_the_256_bytes(tmp_path: Path) -> None:
    bytes_ = Vocabulary.of_bytes()
    saved_network(tmp_path / "network.safetensors", vocabulary=bytes_, unit="byte")
    write_onnx(tmp_path / "network.safetensors", tmp_path / "network.onnx")
    metadata = session_of(tmp_path / "network.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(metadata["vocabulary"]) == {"unit": "byte", "symbols": [*range(256)]}


def test_onnx_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the error names it; a file that exists is never replaced."""
    saved_network(tmp_path / "network.safetensors")
    (tmp_path / "network.onnx").write_text("mine")
    with pytest.raises(CharlmError, match="exists"):
        write_onnx(tmp_path / "network.safetensors", tmp_path / "network.onnx")
    monkeypatch.setattr("charlm.export.onnx_file.find_spec", lambda _: None)
    with pytest.raises(CharlmError, match=r"pip install 'charlm-rnn\[export\]'"):
        write_onnx(tmp_path / "network.safetensors", tmp_path / "other.onnx")


def test_the_documented_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a model of records, too."""
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```py\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[0]
    for name in ("lstm", "gru of records"):
        saved_network(tmp_path / f"{name}.safetensors", name)
        (tmp_path / "novel.onnx").unlink(missing_ok=True)
        write_onnx(tmp_path / f"{name}.safetensors", tmp_path / "novel.onnx")
        variables: dict[str, Any] = {}
        exec(code.replace("The rain", "the rain"), variables)
        assert len(variables["text"]) == 200
