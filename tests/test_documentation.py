"""The documents: commands run, selectors select, links resolve, public names are documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from _pytest.mark import ParameterSet
from typer.testing import CliRunner

import charlm
from charlm.bench import benchmark, figures, model_benchmark, sweep, timing
from charlm.cli.main import PANELS, UNDERSTAND, app
from charlm.config.load import config_names, load_config
from charlm.config.schema import Config, Section
from charlm.files.locations import shipped
from charlm.prediction.items import items

ROOT = Path(__file__).parent.parent
FOLDERS = ("charlm", "configs", "data", "tests")
DOCUMENTS = sorted(
    {
        ROOT / "README.md",
        *ROOT.glob(".github/*.md"),
        *(path for folder in FOLDERS for path in (ROOT / folder).glob("**/*.md")),
    }
)
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = typer.main.get_command(app)


PUBLIC_NAMES = {
    *("Comparison", "compare", "Activations", "activations", "ContextCurve", "context"),
    *("CharlmError", "Finished", "Predictor", "Run", "Score", "TextScore", "evaluate", "events"),
    *("generate", "generate_bytes", "generate_text", "load", "prepare", "resume", "score_text"),
    *("Report", "report", "from_torch", "CharacterScores", "SeriesFinished"),
    *("Items", "generate_items", "ItemOriginality", "item_originality"),
    *("train", "train_series", "Originality", "originality", "Surprise", "surprise"),
}


def test_the_public_names_are_these() -> None:
    """Each is listed, has a type for type checkers, and says what it is."""
    assert sorted(charlm.__all__) == sorted(PUBLIC_NAMES)
    assert set(dir(charlm)) > PUBLIC_NAMES
    for name in PUBLIC_NAMES:
        assert inspect.getdoc(getattr(charlm, name))
    typed = [
        alias.name
        for node in ast.walk(ast.parse(Path(charlm.__file__).read_text("utf-8")))
        if isinstance(node, ast.If)
        for line in node.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    ]
    assert sorted(typed) == sorted(PUBLIC_NAMES)
    with pytest.raises(AttributeError):
        charlm.nothing  # noqa: B018


def test_importing_charlm_is_cheap() -> None:
    """Neither torch nor pydantic is loaded before a name needs them."""
    code = "import charlm, sys; charlm.CharlmError; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert b"charlm.errors" in names.split()
    assert not {b"torch", b"numpy", b"pydantic"} & set(names.split())


def test_the_command_line_uses_the_public_names() -> None:
    """What a program imports is what the commands call."""
    source = "".join(path.read_text("utf-8") for path in (ROOT / "charlm" / "cli").glob("*.py"))
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
def test_every_shipped_config_is_listed(name: str) -> None:
    load_config(name)
    assert f"`{name}`" in (ROOT / "configs" / "README.md").read_text("utf-8")
    text = (shipped("configs") / f"{name}.yaml").read_text("utf-8")
    assert text.startswith("#"), "a comment says what it is for"
    assert yaml.safe_load(text)


def test_every_command_is_documented() -> None:
    """Commands and options have a help text; each command stands in a document."""
    documents = "".join(path.read_text("utf-8") for path in DOCUMENTS)

    def walk(command: Any, name: str) -> None:
        assert command.help, name
        for parameter in command.params:
            if parameter.name != "help" and hasattr(parameter, "help"):
                assert parameter.help, f"{name} {parameter.name}"
        for child, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {child}")
            assert f"{name} {child}" in documents

    walk(COMMANDS, "charlm")


def test_what_looks_into_a_model_has_a_section() -> None:
    """Each command of the panel "Understand": what it does, and how it is called."""
    sections = (ROOT / "charlm" / "analysis" / "README.md").read_text("utf-8").split("\n## ")
    for name in (name for name, panel in PANELS.items() if panel == UNDERSTAND):
        own = [
            part for part in sections if part.partition("\n\n")[2].startswith(f"`charlm {name}` ")
        ]
        assert len(own) == 1, name
        assert f"\n$ charlm {name} runs/" in own[0], name


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 160


def test_readme_explains_what_help_names() -> None:
    """The one cell that no textbook has, and the names that stand for texts."""
    assert "`--cell mogrifier` (an LSTM whose" in README
    assert "`charlm data list`" in README


def test_every_package_stands_in_the_readme() -> None:
    for name in modules():
        stem = name.removeprefix("charlm.").split(".")[0]
        assert f"`{stem}`" in README or f"`{stem}/`" in README, stem


def test_documents_install_the_right_package() -> None:
    """The distribution is charlm-rnn; `charlm` belongs to somebody else."""
    for path in (*DOCUMENTS, *(ROOT / "charlm").rglob("*.py")):
        assert not re.search(r"pip install (?:-\S+ )*charlm(?!-rnn)\b", path.read_text("utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    """Each file is there, and each section of a document."""
    for target, section in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", path.read_text("utf-8")):
        if "://" not in target:
            linked = path.parent / target if target else path
            assert linked.exists(), target
            if section:
                assert section in anchors(linked), f"{target}#{section}"


@cache
def anchors(path: Path) -> set[str]:
    """Return the names by which GitHub links to the headings of a document."""
    headings = re.findall(r"^#+ (.*)", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_make_targets_exist() -> None:
    documents = "".join(path.read_text("utf-8") for path in DOCUMENTS)
    rules = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", documents, re.MULTILINE))
    assert {"train", "test", "check"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", rules, re.MULTILINE), target


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a language in a document."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def command_lines(path: Path) -> list[str]:
    """Return every `charlm …` line in the console blocks of a document, in order."""
    lines = [line for block in blocks(path, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ charlm ")]


TUNE = "T:Air\nM:4/4\nL:1/8\nK:D\nd2 ef | g2 dA ||"
LOG = "2024-03-0{} 15:54:24 {} db: retry {} of 3\n"
LEVELS = ("WARN", "ERROR", "INFO")
LISTS = {
    "names.txt": "".join(f"mar{a}{b}{c}\n" for a in "aeiou" for b in "lnrs" for c in "aexy"),
    "molecules.txt": "".join(f"CC(=O){a}c1ccccc1{b}\n" for a in "NOCS" for b in "BCNOFPSI"),
    "log.txt": "".join(LOG.format(*figures) for figures in product(range(1, 9), LEVELS, range(4))),
    "tunes.txt": "\n\n".join(TUNE.replace("d2", note) for note in "abcdefgABCDEFG"),
}
"""Short lists, by the names of their files in documents."""
SMALL = [
    "training.budget=null",
    "training.epochs=null",
    "training.steps=2",
    "model.hidden_size=8",
    "generation.length=5",
]
CHOSEN = ["training.steps=2", "ensemble.members=1", "generation.length=5"]
"""Settings beside those that charlm chooses: the length in steps, whatever else computes here."""


def is_chosen(arguments: list[str]) -> bool:
    """Return whether charlm chooses the settings for a text."""
    configs = {*config_names(), "my.yaml", "--resume"}
    has_text = any(word.endswith(".txt") for word in arguments)
    return arguments[0] == "train" and has_text and not configs & {*arguments}


def small_arguments(line: str) -> list[str]:
    """Return the arguments of a documented command, with a small model and few steps."""
    arguments = shlex.split(line.partition("  #")[0])[1:]
    if is_chosen(arguments):  # it chooses the length itself
        return [*arguments, *(word for key in CHOSEN for word in ("--set", key))]
    if arguments[:2] == ["data", "get"]:  # no network in tests; test_catalogue has the rest
        return ["data", "list"]
    if arguments[0] == "train" and "--resume" in arguments:  # its model stays as it is
        return arguments
    if arguments[0] in ("train", "bench") and "--print-config" not in arguments:
        small = SMALL[1:] if "--budget" in arguments else SMALL  # `--budget` sets it
        arguments += [part for key in small for part in ("--set", key)]
        names = ("tiny-shakespeare", "large-text")
        if any(name in arguments for name in names) and "novel.txt" not in arguments:
            arguments += ["novel.txt"]
    if arguments[0] == "bench":
        arguments += ["--seconds", "0.01", "--no-cells"]
    return arguments


def commands_of(path: Path) -> ParameterSet:
    """Return the parameter of a document; the commands of the benchmark are a long test."""
    marks = [pytest.mark.long] if path.parent.name == "bench" else []
    return pytest.param(path, marks=marks, id=str(path.relative_to(ROOT)))


@pytest.mark.parametrize("path", [commands_of(path) for path in DOCUMENTS if command_lines(path)])
def test_every_documented_command_runs(
    path: Path, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, in one folder, on a small text and a small model."""
    monkeypatch.chdir(tmp_path)
    for name in ("novel.txt", "other.txt", "poem.txt", "letter.txt"):
        (tmp_path / name).write_text(text_file.read_text("utf-8"), "utf-8")
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "my.yaml").write_text("corpus:\n  paths: novel.txt\n", "utf-8")
    monkeypatch.setattr(sweep, "_SIZES", {"hidden_size": (8, 16)})
    monkeypatch.setattr(benchmark, "_TEXT_BYTES", 50_000)
    for name, number in {
        "_TRIAL_DRAWS": 300,
        "_MOST_VAIN_DRAWS": 3000,
        "_MEASURED_DRAWS": 100,
    }.items():
        monkeypatch.setattr(items, name, number)
    monkeypatch.setattr(model_benchmark, "_PRODUCT_SIZE", 64)
    monkeypatch.setattr(timing, "_NUM_TURNS", 1)
    monkeypatch.setattr(figures, "_MAX_SLOWDOWN_FRACTION", 1.0)  # such short turns say nothing
    for line in command_lines(path):
        arguments = small_arguments(line)
        target = None
        if ">" in arguments:
            target = arguments[arguments.index(">") + 1]
            arguments = [word for word in arguments if word not in (">", target)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
        if target is not None:
            Path(target).write_text(result.stdout, "utf-8")


EXAMPLES = {
    **{str(path.relative_to(ROOT)): blocks(path, "python") for path in DOCUMENTS},
    "charlm/__init__.py": ["\n".join(re.findall(">>> (.*)", charlm.__doc__ or ""))],
}
"""Code in Python, by the document that contains it."""


@pytest.mark.parametrize("place", [place for place in EXAMPLES if EXAMPLES[place]])
def test_documented_python_runs(
    place: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "novel.txt").write_text(text_file.read_text("utf-8"), "utf-8")
    for block in EXAMPLES[place]:
        code = block.replace('settings=["', f'settings=[*{SMALL!r}, "')
        code = re.sub(r'(budget="\d+m")', rf"\1, settings={CHOSEN!r}", code)
        assert code
        exec(compile(code, place, "exec"), {})


@cache
def documented_selections() -> tuple[tuple[str, ...], ...]:
    """Return the arguments of every `pytest …` command in the documents."""
    documents = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    return tuple(
        tuple(shlex.split(command)) for command in re.findall(r"`pytest ([^`]+)`", documents)
    )


def test_documented_selections_select_tests(all_tests: list[tuple[str, bool]]) -> None:
    """Every `pytest FILES -m MARK -k WORDS` in a document selects at least one test."""
    places = {word for words in documented_selections() for word in words if word[:5] == "tests"}
    assert len(places) > 8
    assert all((ROOT / place).exists() for place in places)
    if not all(any(name.startswith(place) for name, _ in all_tests) for place in places):
        pytest.skip("only a run of all tests has the tests of all documents")
    for words in documented_selections():
        files = tuple(word for word in words if word[:5] == "tests")
        options = dict(pairwise(words))
        mark, keywords = options.get("-m", "not long"), options.get("-k", "")
        expression = re.sub(r"\b(?!and\b|or\b|not\b)(\w+)", r"('\1' in name)", keywords) or "True"
        chosen = [
            name
            for name, is_long in all_tests
            if name.startswith(files)
            and eval(mark.replace("long", str(is_long)))
            and eval(expression, {"name": name})
        ]
        assert chosen, words
