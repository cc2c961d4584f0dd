"""The `generate` command."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli import generation_options as options
from charlm.cli import item_options
from charlm.cli.arguments import ESCAPES_HELP, expand_escapes
from charlm.cli.options import Device, DeviceOption, Json, MovedText, Quiet, RunPath, Runs, Unknown
from charlm.cli.text_output import TextOutput
from charlm.errors import CharlmError
from charlm.files.locations import from_user

if TYPE_CHECKING:
    from charlm.prediction.predictor import Predictor


def generate(
    run: RunPath = None,
    prefix: options.Prefix = None,
    prefix_file: options.PrefixFile = None,
    interactive: options.Interactive = False,
    length: options.Length = None,
    num_samples: options.NumSamples = 1,
    stop: options.Stop = None,
    unknown: options.Unknown = Unknown.error,
    text: MovedText = None,
    items: item_options.NumItems = None,
    new: item_options.New = False,
    not_in: item_options.NotIn = None,
    unique: item_options.Unique = False,
    min_length: item_options.MinLength = None,
    max_length: item_options.MaxLength = None,
    suffix: item_options.Suffix = None,
    match: item_options.Match = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    greedy: options.Greedy = None,
    seed: options.Seed = None,
    portable: options.Portable = False,
    output: options.Output = None,
    mark_copied: options.MarkCopied = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Continue a text, character by character, or generate whole items of a list.

    Defaults come from the `generation` section of the model's config.
    """
    from charlm.cli.console import print_message
    from charlm.cli.generated_items import ItemOptions, write_items
    from charlm.cli.generated_texts import GeneratedTexts
    from charlm.cli.prefixes import argument_bytes, decoded_prefix, read_prefix
    from charlm.files.atomic import path_of_new
    from charlm.runs.finding import checkpoint_of

    wanted = ItemOptions(
        *(items, new, tuple(not_in or ()), unique, min_length, max_length, suffix, match)
    )
    wanted.check(
        *(length, num_samples, stop, mark_copied),
        is_portable=portable,
    )
    settings = options.checked_sampling(
        match,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        greedy=greedy,
    )
    _check_combinations(
        {
            "--prefix": prefix is not None,
            "--prefix-file": prefix_file is not None,
            "--num-samples": num_samples > 1,
            "--items": items is not None,
            "--output": output is not None,
            "--json": json_,
            "--mark-copied": mark_copied is not None,
        },
        interactive,
    )
    if output is not None:
        output = path_of_new(output, "--output")
    file_bytes = read_prefix(prefix_file) if prefix_file is not None else b""
    if run is not None and prefix is None:
        _check_is_run(run)
    checkpoint_of(run, runs)  # report a wrong name before a model is loaded
    from charlm.cli.loaded_run import load_model
    from charlm.cli.portable import integer_network
    from charlm.prediction.generation import encode_prefix

    stop_text = None if stop is None else expand_escapes(stop)
    if not quiet and stop_text != stop:
        print_message(f"--stop: escapes were replaced; {ESCAPES_HELP}")
    loaded = load_model(run, runs=runs, device=device, text=text or (), quiet=quiet)
    is_raw = loaded.vocabulary.unit == "byte"
    prefix_bytes = argument_bytes(prefix, "--prefix", is_raw) if prefix is not None else None
    if prefix_file is not None:
        prefix_bytes = decoded_prefix(file_bytes, prefix_file, is_raw)
    network = integer_network(loaded.path, quiet) if portable else None
    if interactive:
        from charlm.cli.interactive import converse

        target = _target(None, loaded, mark_copied, text or (), quiet)
        converse(loaded, settings, seed, stop_text, unknown, network, target)
        return
    if items is not None:
        prefix_ids = encode_prefix(loaded, prefix_bytes or b"", unknown.value)
        drawn = wanted.generate(loaded, prefix_ids, seed, text or (), settings)
        write_items(drawn, loaded, output, is_json=json_, is_quiet=quiet)
        return
    texts = GeneratedTexts(
        loaded,
        encode_prefix(loaded, prefix_bytes, unknown.value),
        num_samples,
        seed,
        None if stop_text is None else argument_bytes(stop_text, "--stop", is_raw),
        settings,
        network,
    )
    if json_:
        texts.print_json()
        return
    target = _target(output, loaded, mark_copied, text or (), quiet)
    with target.own_line_for_prompt():
        if num_samples == 1:
            texts.write_one(target)
            # Files, and pipes from a byte model, receive exactly what the model generates.
            if output is None and not (is_raw and target.is_exact):
                target.write_plain("\n")
        else:
            texts.write_all(target)
    target.close()


def _check_combinations(options: Mapping[str, bool], is_interactive: bool) -> None:
    """Raise an error for options that exclude one another; the value is whether one is given."""
    given = [name for name, is_given in options.items() if is_given]
    if "--prefix" in given and "--prefix-file" in given:
        raise CharlmError("--prefix cannot be combined with --prefix-file")
    if "--json" in given and ("--output" in given or "--mark-copied" in given):
        raise CharlmError("--json excludes --output and --mark-copied; omit these")
    if is_interactive and (others := [name for name in given if name != "--mark-copied"]):
        raise CharlmError(f"--interactive cannot be combined with {others[0]}; omit one of them")


def _check_is_run(run: Path) -> None:
    """Raise an error for a text that stands where the name of a run is expected."""
    if " " in str(run) and not from_user(run).exists():
        raise CharlmError(
            f"{run}: no such run; to continue this text, use --prefix {shlex.quote(str(run))}"
        )


def _target(
    output: Path | None,
    loaded: "Predictor",
    mark_copied: int | None,
    training_text: Sequence[str],
    is_quiet: bool,
) -> TextOutput:
    """Return where the text is written; `mark_copied` adds marks around copied spans."""
    if mark_copied is None:
        return TextOutput(output)
    if output is not None:
        raise CharlmError("--output writes only the text; omit it, or omit --mark-copied")
    from charlm.cli.copy_marks import MarkedOutput
    from charlm.runs.training_text import searched_corpus

    assert loaded.checkpoint is not None
    corpus = searched_corpus(loaded.checkpoint, training_text)
    return MarkedOutput(corpus, mark_copied, is_quiet)
