"""What charlm depends on: bounds that were tested, and public functions."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pinned(name: str) -> dict[str, Version]:
    """Return the versions that a constraints file pins."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and line[0] != "#"]
    return {one.name.lower(): Version(str(one.specifier)[2:]) for one in requirements}


def test_the_oldest_versions_are_the_bounds() -> None:
    """`make test-oldest` installs the lower bound of each dependency that has one."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in groups for line in lines]
    bounds = {
        requirement.name.lower(): Version(specifier.version)
        for requirement in requirements
        for specifier in requirement.specifier
        if specifier.operator == ">=" and requirement.name != "atheris"  # `make test` does not fuzz
    }
    oldest = pinned("constraints-oldest.txt")
    assert oldest.items() >= bounds.items()
    assert oldest.keys() - bounds.keys() == {"pyparsing"}  # matplotlib sets no upper bound
    newest = pinned("constraints.txt")
    assert all(newest[name] >= bound for name, bound in bounds.items())


def test_no_private_function_of_torch() -> None:
    """PyTorch may change what begins with an underscore in any version.

    `Tensor._version` has no public counterpart.
    """
    for path in (ROOT / "charlm").rglob("*.py"):
        found = re.findall(r"\btorch(?:\.\w+)*\._[a-z]\w*|kineto_results", path.read_text("utf-8"))
        assert not found, path
