"""The folder for PyTorch: it needs no charlm, computes the same, and comes back unchanged."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from support.exports import NETWORKS, saved_network, saved_with_text, some_ids, some_state
from support.integer_networks import VOCABULARY
from typer.testing import CliRunner

import charlm
from charlm.cli.main import app
from charlm.config.schema import Config
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.export.onnx_file import write_onnx
from charlm.export.torch_folder import write_torch
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState
from charlm.prediction.generation import generate_text
from charlm.prediction.predictor import Predictor
from charlm.runs.checkpoint import Checkpoint, write_checkpoint

Exported = tuple[Predictor, LanguageModel, Path]


def code_of(folder: Path) -> ModuleType:
    """Import `model.py` of a folder."""
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exported_to(folder: Path, name: str = "lstm", **options: Any) -> Exported:
    predictor = saved_network(folder / "network.safetensors", name, **options)
    write_torch(folder / "network.safetensors", folder / "exported")
    assert isinstance(predictor.model, LanguageModel)
    return predictor, predictor.model, folder / "exported"


def as_torch(state: ModelState) -> Any:
    """Return a state as PyTorch's modules have it: a tensor of all layers, or several."""
    tensors = tuple(map(torch.stack, zip(*state, strict=True)))
    return tensors if len(tensors) > 1 else tensors[0]


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Exported:
    return exported_to(tmp_path_factory.mktemp("torch"), request.param)


def test_torch_computes_what_charlm_does(exported: Exported) -> None:
    """Over a text in several columns, and the likeliest characters after a prefix."""
    predictor, network, folder = exported
    model = code_of(folder).load(folder)
    ids, state = some_ids(predictor, 100, 4), some_state(network, 4)
    with torch.no_grad():
        logits, new_state = model(ids, as_torch(state))
        expected, expected_state = network(ids, state)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(new_state, as_torch(expected_state), rtol=0, atol=1e-5)
    text = model.generate("hallo", length=100, temperature=0.0)
    assert text == generate_text(predictor, "hallo", length=100, greedy=True)
    for temperature in (0.0, 1.0):
        assert len(model.generate("", length=9, temperature=temperature)) == 9


def test_the_code_has_what_the_network_has(exported: Exported) -> None:
    """About 60 lines, without what other networks need, in the format of charlm's own code."""
    _, network, folder = exported
    code = (folder / "model.py").read_text("utf-8")
    is_mogrifier, has_records = network.config.cell == "mogrifier", network.boundary is not None
    assert ("class Mogrifier" in code, "a record" in code) == (is_mogrifier, has_records)
    assert ("one_hot" in code, "nn.Embedding" in code).count(True) == 1
    assert "charlm" not in code
    own = code[code.index("class CharacterModel") :] if is_mogrifier else code
    assert len(own.splitlines()) <= (70 if has_records else 61)
    check_format(folder / "model.py")


def check_format(file: Path) -> None:
    """Fail if ruff would change a file or has a remark on it."""
    for arguments in (["format", "--check", "--quiet"], ["check", "--quiet"]):
        settings = ["--config", str(Path(charlm.__file__).parents[1] / "pyproject.toml")]
        subprocess.run([sys.executable, "-m", "ruff", *arguments, *settings, str(file)], check=True)


def test_torch_folder_comes_back(exported: Exported) -> None:
    """Every bit of the weights, the vocabulary, and how a text is read."""
    predictor, network, folder = exported
    again = charlm.from_torch(folder, device="cpu")
    assert isinstance(again.model, LanguageModel)
    tensors = again.model.state_dict()
    assert tensors.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert tensors[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert again.vocabulary == predictor.vocabulary
    assert again.model.boundary == network.boundary
    assert again.config.model == predictor.config.model
    assert again.config.corpus == predictor.config.corpus


def test_torch_folder_needs_no_charlm(tmp_path: Path) -> None:
    """In a process in which importing charlm, safetensors and numpy fails, `model.py` loads it."""
    predictor, network, folder = exported_to(tmp_path, "mogrifier")
    code = """
import sys
for name in ("charlm", "safetensors", "numpy"):
    sys.modules[name] = None
import torch
from model import load
model = load(".")
logits, _ = model(model.encode("hallo").unsqueeze(1))
print(*logits[-1, 0].tolist())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, check=True
    )
    ids = predictor.vocabulary.encode_text("hallo").astype("int64")
    with torch.no_grad():
        expected, _ = network(torch.from_numpy(ids).unsqueeze(1), network.initial_state(1))
    logits = torch.tensor([float(number) for number in done.stdout.split()])
    assert torch.allclose(logits, expected[-1, 0], rtol=0, atol=1e-5)


def test_a_trained_folder_comes_back(tmp_path: Path) -> None:
    """PyTorch's second bias is added to the first, where charlm's cell has no other one."""
    for name in ("lstm", "gru"):
        (tmp_path / name).mkdir()
        *_, folder = exported_to(tmp_path / name, name)
        data = (folder / "model.safetensors").read_bytes()
        tensors = safetensors.torch.load(data)  # load_file may map the file, which changes below
        tensors["rnn.bias_hh_l0"][0] = 0.25
        safetensors.torch.save_file(tensors, folder / "model.safetensors")
        again = charlm.from_torch(folder, device="cpu").model
        assert isinstance(again, LanguageModel)
        expected = tensors["rnn.bias_ih_l0"][0] + 0.25
        assert again.state_dict()["layers.0.b_h"][0] == expected
    tensors["rnn.bias_hh_l0"][-1] = 0.25
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CharlmError, match="second bias of its candidate"):
        charlm.from_torch(folder)


def test_bytes_go_to_torch_and_back(tmp_path: Path) -> None:
    predictor, _, folder = exported_to(tmp_path, vocabulary=Vocabulary.of_bytes(), unit="byte")
    check_format(folder / "model.py")
    model = code_of(folder).load(folder)
    assert model.decode(model.encode("né").tolist()) == "né"
    text = model.generate("né", length=50, temperature=0.0)
    assert text == generate_text(predictor, "né", length=50, greedy=True)
    assert charlm.from_torch(folder).vocabulary == predictor.vocabulary


def test_torch_reads_a_text_as_charlm_does(tmp_path: Path) -> None:
    """In the normal form of the training text, and what is not in the vocabulary is refused."""
    vocabulary = Vocabulary(tuple(sorted(map(ord, 'a"e\N{COMBINING ACUTE ACCENT}\0'))))
    predictor, _, folder = exported_to(tmp_path, vocabulary=vocabulary, normal_form="NFD")
    check_format(folder / "model.py")
    model = code_of(folder).load(folder)
    ids = model.encode("\0aé")
    assert ids.tolist() == predictor.vocabulary.encode_text("\0ae\u0301").tolist()
    assert model.decode([0, *ids.tolist()]) == "\ufffd\0ae\u0301"
    assert len(model.generate(length=9)) == 9
    for unknown in "x\ufffd":
        with pytest.raises(KeyError):
            model.encode(unknown)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "vocabulary.json",
        "provenance.json",
        "model.safetensors",
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, name: str) -> None:
    """A file that is missing, of another format, or cut short: one line."""
    *_, folder = exported_to(tmp_path)
    whole = (folder / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"{}", b"", b"\xff" * 100):
        (folder / name).write_bytes(damaged)
        with pytest.raises(CharlmError, match="exported model"):
            charlm.from_torch(folder)
    (folder / name).unlink()
    with pytest.raises(CharlmError, match=name):
        charlm.from_torch(folder)


def test_the_card_says_what_is_known(tmp_path: Path, text_file: Path) -> None:
    """The text by name and fingerprint, the score with its interval, and no path."""
    predictor = saved_with_text(tmp_path / "network.safetensors", text_file)
    write_torch(tmp_path / "network.safetensors", tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text("utf-8")
    _, front, body = card.split("---\n", 2)
    (result,) = yaml.safe_load(front)["model-index"][0]["results"]
    figures = {one["type"]: one["value"] for one in result["metrics"]}
    score = charlm.evaluate(predictor)
    assert figures["perplexity"] == pytest.approx(score.perplexity, abs=1e-3)
    assert result["dataset"]["name"] == text_file.name
    assert predictor.checkpoint is not None
    assert predictor.checkpoint.fingerprint in body
    assert "bits, perplexity" in body
    of_folder = charlm.evaluate(charlm.from_torch(tmp_path / "mine"), text=text_file)
    assert of_folder.protocol == charlm.evaluate(predictor, text=text_file).protocol
    assert of_folder.overlaps
    for file in (tmp_path / "mine").iterdir():
        assert str(text_file.parent).encode() not in file.read_bytes()


def test_the_card_of_a_lost_text(tmp_path: Path, text_file: Path) -> None:
    """Without the text, the score is that at the end of training, if there is one."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    path = run / "checkpoints" / "best.safetensors"
    saved_with_text(path, text_file)
    text_file.unlink()
    write_torch(path, tmp_path / "one")
    card = (tmp_path / "one" / "README.md").read_text("utf-8")
    assert "model-index" not in card
    assert "Not known." in card
    score = {"split": "test", "bits_per_character": 2.0, "characters": 250}
    start = {"began": "", "result": {"score": score}}
    (run / "environment.json").write_text(json.dumps([start]), "utf-8")
    write_torch(path, tmp_path / "two")
    card = (tmp_path / "two" / "README.md").read_text("utf-8")
    assert "value: 4.0" in card
    assert "| 95 % interval | not known |" in card


def test_ensembles_are_refused(tmp_path: Path) -> None:
    """The error names the network that `charlm compress` uses, too."""
    path = tmp_path / "run" / "checkpoints" / "best.safetensors"
    path.parent.mkdir(parents=True)
    config = Config.model_validate({"ensemble": {"members": 2}})
    write_checkpoint(path, Checkpoint(config, VOCABULARY, "0" * 32, {}))
    for write in (write_torch, write_onnx):
        with pytest.raises(CharlmError, match=r"such as \S+/run/member-1: the first one"):
            write(path, tmp_path / "mine")


def test_export_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints the path; never replaces a file, and names the formats."""
    monkeypatch.chdir(tmp_path)
    saved_network(tmp_path / "network.safetensors")
    done = CliRunner().invoke(app, ["export", "network.safetensors", "--to", "torch"])
    assert (done.exit_code, done.stdout.split()) == (0, ["network-torch"])
    for arguments, message in (
        (["--to", "torch"], "network-torch: exists already"),
        (["--to", "gguf"], "choose one of .*onnx, torch"),
    ):
        done = CliRunner().invoke(app, ["export", "network.safetensors", *arguments])
        assert done.exit_code == 1
        assert re.search(message, done.stderr)
