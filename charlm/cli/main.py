"""The `charlm` command: parse, call, print. Torch is imported only by commands that need it."""

import io
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from charlm.cli import streams
from charlm.cli.arguments import (
    ESCAPES_HELP,
    flags_of,
    naming_options,
    one_text_an_option,
    option_settings,
    refuse_empty,
    unescaped,
)
from charlm.cli.data import data
from charlm.cli.options import (
    ConfigName,
    Device,
    DeviceOption,
    Json,
    Part,
    Quiet,
    RunPath,
    Runs,
    Settings,
    Texts,
    Unknown,
)
from charlm.cli.terminal import RAW_BYTES, for_terminal
from charlm.cli.text_output import TextOutput
from charlm.distributed.launch import launched
from charlm.environment.process import prepare
from charlm.errors import CharlmError, CorpusWarning, ProcessError, file_errors
from charlm.files.locations import from_user
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


class _Group(TyperGroup):
    """The one place where what a user can mend becomes a line on standard error and exit code 1."""

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
        # Of several processes one alone may not end where the others wait for it.
        ending = end_on_request() if launched().size == 1 else nullcontext()
        try:
            with ending, _warnings_shown(), _usage_errors_shown():
                return super().invoke(ctx)
        except CharlmError as error:
            # The first of each machine speaks for all: a file may be missing on one of them.
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


app = typer.Typer(
    cls=_Group,
    help="Character-level recurrent language models on your own text, on the machine you have.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data, name="data")


def _version(wanted: bool | None) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"charlm {version('charlm-rnn')}")
        raise typer.Exit


@app.callback()
def charlm(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = None,
) -> None:
    """Character-level recurrent language models on your own text, on the machine you have."""


@app.command()
def train(
    config: Annotated[
        str | None,
        typer.Argument(help="Name of a shipped config, or a YAML file (default: quickstart)."),
    ] = None,
    text: Texts = None,
    set_: Settings = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Train for at most this time (90s, 3m, 1h30m), then evaluate."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed for weights, data order, dropout and samples.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder in --runs.")] = None,
    runs: Runs = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume a run from its last checkpoint.")
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Reproduce results bit for bit, on this machine with as many threads and the same "
            "versions. A budget depends on the clock: set it to null, and use epochs or steps.",
        ),
    ] = False,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Choose the model and its settings for this text and --budget."
        ),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved config and stop.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a text.

    Without arguments it trains the quickstart config. All results go to a run
    folder below runs/, whose path is printed last. Ctrl-C saves; --resume continues.
    """
    options: Any = {"budget": budget, "seed": seed, "deterministic": deterministic or None}
    keys = {f"training.{name}": value for name, value in options.items()}
    settings = option_settings(keys, set_ or ())
    if resume is not None and str(resume).startswith("-"):
        raise CharlmError(f"--resume is followed by the folder of a run, not by {resume}")
    if resume is not None and (config, name, auto, print_config) != (None, None, False, False):
        raise CharlmError(
            "--resume cannot be combined with CONFIG, --name, --auto or --print-config"
        )
    config = config or "quickstart"
    if auto and print_config:
        raise CharlmError("--auto cannot be combined with --print-config")
    if print_config:
        from charlm.config.load import load_config, to_yaml

        print(to_yaml(load_config(config, settings, text or ())), end="")
        return

    from charlm.kernels import compiler

    if launched().local_rank == 0:
        compiler.begin()  # while torch loads
    from charlm.cli.progress import TrainingView
    from charlm.training import start

    view = TrainingView(quiet)
    try:
        if resume is not None:
            start.resume(resume, text=text or (), settings=settings, on_event=view)
        else:
            about: Any = {"text": text or (), "settings": settings, "name": name, "runs": runs}
            start.train(config, **about, auto=auto, on_event=view)
    finally:
        view.close()


@app.command("eval")
def evaluate(
    run: RunPath = None,
    text: Texts = None,
    part: Annotated[
        Part | None, typer.Option(help="Split of the training text to score (default: test).")
    ] = None,
    rows: Annotated[
        int,
        typer.Option(min=1, help="Streams to score in parallel: above 1 faster, but approximate."),
    ] = 1,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic", help="Dynamic evaluation: train on each segment after scoring it."
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --dynamic: write the adapted model to a new file."),
    ] = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Evaluate how well a model predicts a text.

    Every character after the first is scored once, with the state carried through the whole text.
    """
    from charlm.cli.console import message
    from charlm.cli.tables import show_score
    from charlm.prediction import evaluation, predictor

    if dynamic and rows > 1:
        raise CharlmError("--dynamic cannot be combined with --rows")
    if save is not None and not dynamic:
        raise CharlmError("--save requires --dynamic")
    loaded = predictor.load(run, runs=runs, device=device.value, text=text or ())
    if not quiet:
        message(f"using {loaded.describe()}")
    where: Any = {"text": text or (), "part": part.value if part else None}
    if dynamic:
        what, score, _ = evaluation.evaluate_dynamically(loaded, save=save, **where)
        if save is not None and not quiet:
            from charlm.prediction.ngram_text import stored_characters
            from charlm.runs.checkpoint import read_checkpoint

            if stored := stored_characters(read_checkpoint(from_user(save))):
                message(
                    f"{save} contains {stored:,} characters, for n-grams: those of the training "
                    "text and the scored text"
                )
    else:
        what, score = evaluation.score_text(loaded, rows=rows, **where)
    if json_:
        about = {"protocol": score.protocol, "overlaps": [one.to_json() for one in score.overlaps]}
        print(json.dumps(score.to_json() | about, allow_nan=False))
    else:
        show_score(what, score, score.protocol)


@app.command()
def generate(
    run: RunPath = None,
    prefix: Annotated[
        str | None, typer.Option(help="Text to continue, taken literally; see --prefix-file.")
    ] = None,
    prefix_file: Annotated[
        Path | None,
        typer.Option(help="File with the prefix: UTF-8, or any bytes for a byte model."),
    ] = None,
    length: Annotated[int | None, typer.Option(help="Characters to generate.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1 less random, above 1 more random; 0 is greedy.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Sample from the k likeliest characters only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Sample from the likeliest characters that together have this probability."
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(help="Drop characters less likely than this fraction of the likeliest one."),
    ] = None,
    greedy: Annotated[
        bool | None, typer.Option("--greedy", help="Always choose the likeliest character.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed: the same seed gives the same text.")
    ] = None,
    num_samples: Annotated[
        int, typer.Option(min=1, max=10_000, help="Number of texts to generate.")
    ] = 1,
    stop: Annotated[
        str | None, typer.Option(metavar="TEXT", help=f"Stop before this text. {ESCAPES_HELP}")
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option(help="What to do with unknown characters of the prefix.")
    ] = Unknown.error,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the text, and only the text, to a new file."),
    ] = None,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Continue a text, character by character.

    The defaults are those of the `generation` section of the model's config.
    """
    from charlm.cli.console import message
    from charlm.cli.prefixes import argument_bytes, decoded_prefix, read_prefix
    from charlm.files.atomic import check_is_new
    from charlm.prediction import generation, predictor

    if prefix is not None and prefix_file is not None:
        raise CharlmError("--prefix cannot be combined with --prefix-file")
    if output is not None:
        output = from_user(output)
        check_is_new(output, "--output")
    read_file = read_prefix(prefix_file) if prefix_file is not None else b""
    given, stop = stop, None if stop is None else unescaped(stop)
    if not quiet and stop != given:
        message(f"--stop: escapes were replaced; {ESCAPES_HELP}")
    loaded = predictor.load(run, runs=runs, device=device.value)
    if not quiet and run is None:
        message(f"using {loaded.describe()}")
    is_raw = loaded.vocabulary.unit == "byte"
    begin = argument_bytes(prefix, "--prefix", is_raw) if prefix is not None else None
    if prefix_file is not None:
        begin = decoded_prefix(read_file, prefix_file, is_raw)
    options: dict[str, Any] = {
        "seed": seed,
        "stop": argument_bytes(stop, "--stop", is_raw) if stop is not None else None,
        "unknown": unknown.value,
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "greedy": greedy,
    }
    read = generation.prefix_as_read(loaded, begin, unknown.value)
    if num_samples == 1:
        continuation = generation.generate_bytes(loaded, begin, **options)
        target = TextOutput(output)
        for piece in chain([read], continuation):
            target.write(piece)
        # Files, and pipes from a byte model, receive exactly what the model generates.
        if output is None and not (is_raw and target.is_exact):
            target.write(b"\n")
    else:
        many = generation.generate_samples(loaded, begin, num_samples=num_samples, **options)
        target = TextOutput(output)
        for number, sample in enumerate(many, 1):
            target.write(b"--- sample %d ---\n%b%b\n" % (number, read, sample))
    target.close()


@app.command()
def bench(
    config: ConfigName = "quickstart",
    text: Texts = None,
    set_: Settings = None,
    seconds: Annotated[float, typer.Option(min=0.001, help="Seconds for each measurement.")] = 0.5,
    cells: Annotated[
        bool, typer.Option(help="Also measure every cell at three sizes (some minutes).")
    ] = True,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Instead measure how the cost grows with each size.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Fail if a ratio is 15 % below that in a file saved with --json."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Measure training, evaluation, generation and encoding, and this machine's limits."""
    from charlm.bench import benchmark
    from charlm.cli.tables import show_benchmark, show_losses, show_sweep
    from charlm.config.load import load_config

    resolved = load_config(config, set_ or (), text or ())
    if sweep:
        from charlm.bench.sweep import sweep as measure_sweep

        points = list(measure_sweep(resolved, seconds))
        if json_:
            print(json.dumps([point.to_json() for point in points]))
        else:
            show_sweep(points)
        return
    before = _read_ratios(check) if check is not None else {}
    shapes = benchmark.standard_shapes() if cells else []
    result = benchmark.measure(resolved, shapes, seconds)
    if json_:
        print(json.dumps(result.to_json()))
    else:
        show_benchmark(result)
    if losses := result.losses(before):
        show_losses(losses)
        raise CharlmError(
            f"{len(losses)} ratios are more than 15 % below those of {check}; run it again on a "
            "quiet machine, or find what became slower"
        )


def _read_ratios(path: Path) -> dict[str, float]:
    from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json, read_bounded

    with file_errors("be read", path, "check the path", CharlmError):
        data = read_bounded(from_user(path), 1)
    try:
        ratios = item(parse_json(as_ascii(data)), "ratios", dict)
        return {name: item(ratios, name, float) for name in ratios}
    except InvalidDataError:
        raise CharlmError(
            f"{path}: not the output of `charlm bench --json`; create it again"
        ) from None


def main() -> None:
    """Run the command line as a process of its own."""
    prepare()  # before a command imports torch
    streams.guard_streams()
    sys.exit(streams.run(lambda: app(prog_name="charlm")))
