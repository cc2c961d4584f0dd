"""The time that a test may take."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SLOW = """
import time
import pytest

@pytest.mark.long
def test_slow() -> None:
    time.sleep(1)
"""


def test_long_tests_have_no_timeout(tmp_path: Path) -> None:
    """`faulthandler_timeout` ends a test that hangs; a long one may take minutes or hours."""
    (tmp_path / "test_slow.py").write_text(SLOW, "utf-8")
    line = [sys.executable, "-m", "pytest", "-q", "-m", "long", "-o", "faulthandler_timeout=0.2"]
    line += ["-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(tmp_path)]
    path = f"{TESTS}{os.pathsep}{TESTS.parent}"
    done = subprocess.run(
        [*line, "-p", "conftest", str(tmp_path)],
        check=False,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
