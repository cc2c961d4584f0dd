"""The names of tests: short enough that a list of them can be read."""

import ast
from pathlib import Path

MOST_CHARACTERS = 45


def test_names_of_tests_are_short() -> None:
    """No test has a name longer than 45 characters; its docstring has the sentence."""
    names = [
        node.name
        for path in Path(__file__).parent.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(names) > 500
    assert [name for name in names if len(name) > MOST_CHARACTERS] == []
