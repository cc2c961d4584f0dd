"""The command group: where errors become one line and an exit code."""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from charlm.cli.arguments import flags_of, naming_options, one_text_an_option, refuse_empty
from charlm.cli.terminal import RAW_BYTES, for_terminal
from charlm.distributed.launch import launched
from charlm.errors import CharlmError, CorpusWarning, ProcessError
from charlm.signals import end_on_request

_UsageError: type[Any] = typer.BadParameter.__mro__[1]  # which typer does not export


@contextmanager
def _usage_errors_shown() -> Iterator[None]:
    """Escape control characters in usage errors, which quote the command line."""
    try:
        yield
    except _UsageError as error:
        error.message = for_terminal(error.message, sys.stderr)
        raise


class CommandGroup(TyperGroup):
    """Prints errors of users as one line on standard error and exits with code 1."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """Find the command; several processes can only train."""
        name, command, typed = super().resolve_command(ctx, args)
        refuse_empty(typed, flags_of(command))
        ctx.meta["typed"] = typed
        if launched().size > 1 and name != "train":
            raise CharlmError(f"{name}: runs in one process only; start charlm without torchrun")
        return name, command, one_text_an_option(typed)

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse the options before the command."""
        with _usage_errors_shown():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # whatever the console's own encoding is
                errors = "replace" if stream.isatty() else RAW_BYTES
                stream.reconfigure(encoding="utf-8", errors=errors)
        # One of several processes must not end alone: the others would wait for it.
        ending = end_on_request() if launched().size == 1 else nullcontext()
        try:
            with ending, _warnings_shown(), _usage_errors_shown():
                return super().invoke(ctx)
        except CharlmError as error:
            # The first process of each machine reports: a file may be missing on one machine.
            if launched().local_rank == 0 or isinstance(error, ProcessError):
                message = naming_options(str(error), ctx.meta.get("typed", ()))
                print(f"charlm: {for_terminal(message, sys.stderr)}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print charlm's own warnings as one-line messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", CorpusWarning)
        show_others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, CorpusWarning):
                show_others(message, category, filename, lineno, file, line)
            elif launched().local_rank == 0:  # of several processes on a machine, the first
                print(f"charlm: {for_terminal(str(message), sys.stderr)}", file=sys.stderr)

        warnings.showwarning = show
        yield
