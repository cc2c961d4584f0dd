"""The command group: where errors become one line and an exit code."""

import io
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from charlm.cli.arguments import expand_text_lists, flags_of, name_options, refuse_empty
from charlm.cli.json_errors import asks_for_json, print_json_error
from charlm.cli.options import OTHER
from charlm.cli.terminal import RAW_BYTES
from charlm.cli.usage_errors import (
    describe_bad_value,
    describe_extra_arguments,
    describe_missing_argument,
    describe_option_use,
    describe_unknown_command,
    describe_unknown_option,
)
from charlm.cli.wrapping import print_error
from charlm.distributed.launch import launched
from charlm.errors import CharlmError, CharlmWarning, CorpusNotice, ProcessError
from charlm.signals import end_on_request

_UsageError: type[Any] = typer.BadParameter.__mro__[1]  # typer does not export it


@contextmanager
def _usage_errors(group: Any, arguments: Sequence[str] = ()) -> Iterator[None]:
    """Print a usage error as one line, and exit with code 2.

    If the arguments of a command of this group ask for JSON, print it as JSON, too.
    """
    try:
        yield
    except _UsageError as error:
        message = error.format_message()
        if type(error).__name__ == "NoSuchOption" and error.ctx is not None:
            message = describe_unknown_option(error.option_name, error.ctx, arguments)
        elif message.startswith("Got unexpected extra argument") and error.ctx is not None:
            message = describe_extra_arguments(message, error.ctx)
        elif type(error).__name__ == "BadOptionUsage":
            message = describe_option_use(error, group, arguments)
        elif type(error).__name__ == "MissingParameter":
            message = describe_missing_argument(error)
        elif getattr(error, "param", None) is not None:
            message = describe_bad_value(error)
        if asks_for_json(arguments, group):
            print_json_error(message, error)
        print_error(" ".join(message.split()))
        raise typer.Exit(2) from None


class HelpCommand(TyperCommand):
    """A command whose help says nothing about Python's types."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        paragraphs = (self.help or "").split("\n\n")
        self.help = "\n\n".join(" ".join(one.split()) for one in paragraphs)  # Rich wraps them

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, with what their help shows."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    """Return parameters as the help shows them: without types, the panel `OTHER` last."""
    has_others = any(getattr(one, "rich_help_panel", None) == OTHER for one in parameters)
    parameters[-1].rich_help_panel = OTHER if has_others else None  # the last one is --help
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""  # instead of <bool>
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None  # instead of <list[str]>
    return sorted(parameters, key=lambda one: getattr(one, "rich_help_panel", None) == OTHER)


class HelpGroup(TyperGroup):
    """A group of commands that prints its help if it is called without arguments."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, with what their help shows."""
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the options before the command."""
        return super().parse_args(ctx, args or ["--help"] * (not ctx.resilient_parsing))

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """Find the command; suggest one for an unknown name."""
        is_option = args[0].startswith("-")
        if not (args[0] in self.commands or is_option or ctx.resilient_parsing):
            raise _UsageError(describe_unknown_command(args[0], self), ctx)
        return super().resolve_command(ctx, args)


class CommandGroup(HelpGroup):
    """Prints a user's error as one line on standard error and exits with code 1."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """Find the command; only `train` can run in several processes."""
        if args[0] not in self.commands and os.path.exists(args[0]):  # noqa: PTH110 - never raises
            what = shlex.quote(args[0])
            raise CharlmError(f"{args[0]}: not a command; train on it with `charlm train {what}`")
        name, command, arguments = super().resolve_command(ctx, args)
        if ctx.resilient_parsing:  # the shell completes an unfinished command line
            return name, command, arguments
        refuse_empty(arguments, flags_of(command))
        ctx.meta["arguments"] = arguments
        if launched().size > 1 and name != "train":
            raise CharlmError(f"{name} runs in one process only; start it without torchrun")
        return name, command, expand_text_lists(arguments, with_folders=name == "train")

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse the options before the command."""
        with _usage_errors(self):
            return super().make_context(*arguments, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the options before the command; keep the whole command line."""
        ctx.meta["given"] = [*args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # regardless of the console's encoding
                errors = "replace" if stream.isatty() else RAW_BYTES
                stream.reconfigure(encoding="utf-8", errors=errors)
        # One of several processes must not end alone: the others would wait for it.
        ending = end_on_request() if launched().size == 1 else nullcontext()
        try:
            with ending, _show_warnings(), _usage_errors(self, ctx.meta["given"]):
                return super().invoke(ctx)
        except CharlmError as error:
            # The first process on each machine prints: a file may be missing on one machine only.
            if launched().local_rank == 0 or isinstance(error, ProcessError):
                message = name_options(str(error), ctx.meta.get("arguments", ()))
                if asks_for_json(ctx.meta["given"], self) and launched().rank == 0:
                    print_json_error(message, error)
                print_error(message)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@contextmanager
def _show_warnings() -> Iterator[None]:
    """Print charlm's own warnings as one-line messages, each once: a text is read repeatedly."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", CharlmWarning)
        show_default = warnings.showwarning
        shown = set()

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, CharlmWarning):
                show_default(message, category, filename, lineno, file, line)
            elif launched().local_rank == 0 and str(message) not in shown:  # once on each machine
                shown.add(str(message))
                start = "" if issubclass(category, CorpusNotice) else "charlm: "
                print_error(str(message), start)

        warnings.showwarning = show
        yield
