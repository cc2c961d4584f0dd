"""What a notebook shows of charlm's objects: short lines, tables and errors without a traceback."""

import pytest

from charlm import CharlmError, load
from charlm.errors import ConfigError


def raised(function: object, *arguments: object) -> CharlmError:
    assert callable(function)
    with pytest.raises(CharlmError) as caught:
        function(*arguments)
    return caught.value


def test_an_error_is_one_line_in_a_notebook() -> None:
    """IPython shows what `_render_traceback_` returns: the kind of error and its message."""
    assert ConfigError("a: b\nc")._render_traceback_() == ["ConfigError: a: b c"]
    (line,) = raised(load, "runs/nothing")._render_traceback_()
    assert line.startswith("RunError: runs/nothing: no such run")


def test_ipython_shows_errors_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """IPython calls the method, and prints a mistake without a traceback."""
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    result = shell.run_cell("import charlm; charlm.load('runs/nothing')")
    assert isinstance(result.error_in_exec, CharlmError)
    shown = capsys.readouterr()
    assert "RunError: runs/nothing: no such run" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
