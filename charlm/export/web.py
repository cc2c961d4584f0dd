"""Write one HTML page that contains a network and continues texts with it, offline.

The network is the integer network of `charlm.portable`, so that the page's text equals that of
`charlm generate --portable`.
"""

from pathlib import Path
from typing import Any

from charlm.config.load import make_config
from charlm.config.schema import Config
from charlm.export.integer_data import packed_network
from charlm.export.rounding_loss import describe_rounding_loss
from charlm.files.untrusted import item
from charlm.pages.page import render, write_page
from charlm.portable.checkpoint_network import read_network
from charlm.portable.model_bytes import digest_of
from charlm.portable.network import IntegerNetwork
from charlm.runs.checkpoint_header import open_file, read_metadata
from charlm.runs.finding import names_of_runs
from charlm.runs.listing import listed_run
from charlm.runs.network_choice import chosen_network

SCRIPTS = (
    "integer_tables.js",
    "integer_network.js",
    "integer_steps.js",
    "integer_kernel_code.js",
    "integer_kernel.js",
    "integer_text.js",
    "integer_codec.js",
)
"""What the integer network computes, without the page."""


def write_web(checkpoint: Path, output: Path) -> list[str]:
    """Write the page of a checkpoint to a new file; return remarks for the user."""
    network, remark = read_network(checkpoint)
    with open_file(checkpoint) as file:
        metadata = read_metadata(checkpoint, file)
    write_page(output, web_page(network, metadata, checkpoint))
    loss = describe_rounding_loss(checkpoint, network)
    return [remark, loss] if remark else [loss]


def web_page(network: IntegerNetwork, metadata: dict[str, Any], checkpoint: Path) -> str:
    """Return the page as HTML; `metadata` are those of the checkpoint."""
    config = make_config(item(metadata, "config", dict), str(checkpoint))
    (name,) = names_of_runs([checkpoint])
    return render(
        "web.html",
        styles=("web.css",),
        scripts=("fields.js", *SCRIPTS, "web.js"),
        runs_webassembly=True,
        data={
            "model": {"network": packed_network(network), "normalForm": config.corpus.normal_form}
        },
        name=checkpoint.stem if name == str(checkpoint) else name,
        prefix=_known_prefix(config, network),
        generation=config.generation,
        unit=network.vocabulary.unit,
        facts=_facts(network, config, metadata, checkpoint),
    )


def _known_prefix(config: Config, network: IntegerNetwork) -> str:
    """Return the prefix of the config, without characters that the network does not know."""
    prefix, vocabulary = config.generation.prefix, network.vocabulary
    if vocabulary.unit == "byte":
        return prefix
    return vocabulary.decode(vocabulary.encode_text(prefix, unknown="skip"))


def _facts(
    network: IntegerNetwork, config: Config, metadata: dict[str, Any], checkpoint: Path
) -> list[tuple[str, str]]:
    """Return what a reader must know about the model: label and value."""
    records = metadata.get("provenance", [])
    texts = dict.fromkeys(one["name"] for one in records if one["use"] == "learnt from")
    model, vocabulary = config.model, network.vocabulary
    layers = f"{model.num_layers} layers" if model.num_layers > 1 else "1 layer"
    facts = [
        ("trained on", ", ".join(texts)),
        ("fingerprint of the text", str(metadata.get("fingerprint", ""))),
        ("network", f"{network.cell}, {layers} of {model.hidden_size:,} units"),
        ("vocabulary", f"{len(vocabulary):,} {vocabulary.unit}s"),
    ]
    if config.ensemble.is_wanted:
        _, reason = chosen_network(config.ensemble, item(metadata, "counters", dict))
        facts.append(
            ("of an ensemble", f"one network of {config.ensemble.size} without n-grams: {reason}")
        )
    elif checkpoint.parent.name == "checkpoints":
        listed = listed_run(checkpoint.parent.parent)
        score = listed.score if listed is not None else None
        if score is not None:
            notes = " (approximate)" if score.is_approximate else ""
            bits = f"{score.bits_per_character:.4f} bits per character{notes}"
            facts.append((f"{score.split} score in training", bits))
    facts.append(("numbers", "rounded to integers, the same on every machine"))
    facts.append(("digest of the integers", digest_of(network).hex()))
    return [(label, value) for label, value in facts if value]
