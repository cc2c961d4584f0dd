"""The documents: every command line in the README runs, and nothing public goes without a word."""

import ast
import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

import charlm
from charlm.bench import benchmark, sweep
from charlm.cli.main import app
from charlm.config.load import config_names, load_config
from charlm.config.schema import Config, Section
from charlm.files.locations import shipped

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = typer.main.get_command(app)


def test_the_public_names_are_these() -> None:
    assert sorted(charlm.__all__) == [
        *("CharlmError", "evaluate", "generate", "generate_bytes", "load", "prepare", "resume"),
        "train",
    ]
    for name in charlm.__all__:
        assert inspect.getdoc(getattr(charlm, name))
    with pytest.raises(AttributeError):
        charlm.nothing  # noqa: B018


def test_the_command_line_uses_the_public_names() -> None:
    """What a program imports is what the commands call."""
    source = (ROOT / "charlm" / "cli" / "main.py").read_text("utf-8")
    for call in ("start.train", "start.resume", "predictor.load", "generation.generate"):
        assert call in source


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(ROOT / "charlm")], "charlm.")
    return [module.name for module in found if module.name != "charlm.__main__"]


@pytest.mark.parametrize("name", modules())
def test_public_things_say_what_they_are(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for node in ast.parse(Path(module.__file__ or "").read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"


def test_every_key_of_a_config_says_what_it_means() -> None:
    for name, field in Config.model_fields.items():
        section: Any = field.annotation
        assert issubclass(section, Section)
        for key, value in section.model_fields.items():
            assert value.description, f"{name}.{key}"


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_config_loads_and_stands_in_the_readme(name: str) -> None:
    load_config(name)
    assert f"`{name}`" in README
    text = (shipped("configs") / f"{name}.yaml").read_text("utf-8")
    assert text.startswith("#"), "says what it is for"
    assert yaml.safe_load(text)


def test_every_command_and_option_is_documented() -> None:
    def walk(command: Any, name: str) -> None:
        assert command.help, name
        for parameter in command.params:
            if parameter.name != "help" and hasattr(parameter, "help"):
                assert parameter.help, f"{name} {parameter.name}"
        for child, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {child}")
            assert f"{name} {child}" in README

    walk(COMMANDS, "charlm")


def test_every_package_stands_on_the_readmes_map() -> None:
    for name in modules():
        stem = name.removeprefix("charlm.").split(".")[0]
        assert f"`{stem}`" in README or f"`{stem}/`" in README, stem


def test_no_document_installs_somebody_elses_package() -> None:
    for path in (ROOT / "README.md", *(ROOT / "charlm").rglob("*.py")):
        assert not re.search(r"pip install (?:-\S+ )*charlm(?!-rnn)\b", path.read_text("utf-8"))


def command_lines() -> list[str]:
    """Return every `charlm …` line in the README's console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ charlm ")]


SMALL = [
    *("training.budget=null", "training.epochs=null", "training.steps=2"),
    *("model.hidden_size=8", "generation.length=5"),
]


def test_every_command_line_of_the_readme_runs(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, in one folder, on a small text and a small model."""
    monkeypatch.chdir(tmp_path)
    tiny = tmp_path / "shared"
    tiny.mkdir()
    for name in ("novel.txt", "other.txt", "poem.txt"):
        (tmp_path / name).write_text(text_file.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(sweep, "_SIZES", {"hidden_size": (8, 16)})
    monkeypatch.setattr(benchmark, "_TEXT_BYTES", 200_000)
    monkeypatch.setattr(benchmark, "_LOSS_ALLOWED", 1.0)  # such short turns say nothing
    (tmp_path / "my.yaml").write_text("corpus:\n  paths: novel.txt\n", "utf-8")
    lines = command_lines()
    assert len(lines) > 8
    for line in lines:
        arguments = shlex.split(line.partition("  #")[0])[1:]
        if "--auto" in arguments:  # the length is its to choose
            arguments = ["2s" if word == "10m" else word for word in arguments]
        elif arguments[0] in ("train", "bench") and "--print-config" not in arguments:
            small = SMALL[1:] if "--budget" in arguments else SMALL  # which sets the budget
            arguments += [part for key in small for part in ("--set", key)]
            if "--resume" in arguments:  # it may not change its shape, only its length
                arguments = [*arguments[:3], "--set", "training.steps=3"]
            elif any(name in arguments for name in ("tiny-shakespeare", "large-text")):
                arguments += ["--text", "novel.txt"]
        if arguments[0] == "bench":
            arguments += ["--seconds", "0.01", "--no-cells"]
        if arguments[:2] == ["data", "get"]:  # no network in tests; test_texts has the rest
            arguments = ["data", "list"]
        target = arguments[arguments.index(">") + 1] if ">" in arguments else None
        if target is not None:
            arguments = [word for word in arguments if word not in (">", target)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
        if target is not None:
            Path(target).write_text(result.stdout, "utf-8")


def test_the_readmes_python_runs(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "novel.txt").write_text(text_file.read_text("utf-8"), "utf-8")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        code = block.replace('settings=["', f'settings=[*{SMALL!r}, "')
        exec(compile(code, "README.md", "exec"), {})
