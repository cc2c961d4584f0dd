"""The `serve` command."""

import os
from pathlib import Path
from typing import Annotated

import typer

from charlm.cli.completion import complete_run
from charlm.cli.options import OTHER, Device, DeviceOption, MovedText, Quiet, Runs
from charlm.errors import CharlmError

_TOKEN_VARIABLE = "CHARLM_TOKEN"
_FEWEST_TOKEN_CHARACTERS = 16
LOOPBACK = "127.0.0.1"


def serve(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN|CHECKPOINT",
            help="Run folders or checkpoints (default: the newest run below --runs).",
            autocompletion=complete_run,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port; 0 is a free one.", rich_help_panel=OTHER)
    ] = 8000,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address for other machines, such as 0.0.0.0; needs --token. Nothing is "
            "encrypted: use it in a network that you trust.",
            rich_help_panel=OTHER,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help=f"Secret of at least {_FEWEST_TOKEN_CHARACTERS} characters that requests must "
            f"send. Set it as the variable {_TOKEN_VARIABLE} to hide it from other users here.",
            rich_help_panel=OTHER,
        ),
    ] = None,
    text: MovedText = None,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Serve models on this machine: a page to write with, and the completions API."""
    from charlm.runs.finding import checkpoint_of

    _check_installed()
    token = _checked_token(token or os.environ.get(_TOKEN_VARIABLE) or None, host)
    paths: list[Path | None] = [*run] if run else [None]
    for path in paths:
        checkpoint_of(path, runs)  # report a wrong name before a model is loaded
    from charlm.server.running import open_port

    address = host or LOOPBACK
    bound = open_port(address, port)
    from charlm.cli.console import print_message
    from charlm.cli.loaded_run import load_model
    from charlm.server.app import make_app
    from charlm.server.offer import Offer
    from charlm.server.running import serve as serve_until_interrupted

    with bound:
        predictors = [
            load_model(path, runs=runs, device=device, text=text or (), quiet=quiet)
            for path in paths
        ]
        offer = Offer.of(predictors, training_text=text or ())
        app = make_app(offer, host=address, token=token)
        shown = f"[{address}]" if ":" in address else address

        def show_address() -> None:
            print(f"http://{shown}:{bound.getsockname()[1]}/", flush=True)
            if not quiet:
                print_message("open this address in a browser; the API is below /v1; Ctrl-C ends")

        serve_until_interrupted(app, bound, offer, show_address)


def _check_installed() -> None:
    """Raise an error that names the extra if it is not installed."""
    try:
        import starlette
        import uvicorn
    except ImportError:
        raise CharlmError(
            "charlm serve needs starlette and uvicorn: pip install 'charlm-rnn[serve]'"
        ) from None
    del starlette, uvicorn


def _checked_token(token: str | None, host: str | None) -> str | None:
    """Return the token; raises an error if it is missing for other machines, or too short."""
    remedy = "such as that of: python -c 'import secrets; print(secrets.token_urlsafe())'"
    if host is not None and token is None:
        raise CharlmError(f"--host needs --token (or {_TOKEN_VARIABLE}) with a secret, {remedy}")
    is_printable = token is None or (token.isascii() and token.isprintable())
    if not is_printable or (token is not None and len(token) < _FEWEST_TOKEN_CHARACTERS):
        raise CharlmError(
            f"--token needs at least {_FEWEST_TOKEN_CHARACTERS} printable ASCII characters, "
            f"{remedy}"
        )
    return token
