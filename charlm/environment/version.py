"""The version of charlm that runs."""

from importlib.metadata import PackageNotFoundError, version


def charlm_version() -> str:
    """Return the version of the installed charlm, or "not installed" if it runs from its source."""
    try:
        return version("charlm-rnn")
    except PackageNotFoundError:
        return "not installed"
