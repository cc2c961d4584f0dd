"""Write the model card of a network, in the form that the Hugging Face Hub reads."""

from typing import Any

import yaml

from charlm.config.schema import Config
from charlm.export.card_score import CardScore, find_score
from charlm.export.exported import Exported
from charlm.formatting import count

_CARD = """\
---
{front_matter}---

# {name}

A character-level language model: it predicts the next {unit} from all {unit}s before it.

|  |  |
|---|---|
| network | {cells}, {layers} of {hidden_size:,} |
| parameters | {parameters:,}, in float32 |
| vocabulary | {symbols} |
| normal form | {normal_form} |

## Use

`model.py` needs PyTorch, and no other package:

```python
from model import load

model = load(".")
print(model.generate({prefix!r}, length=500, temperature=0.8))
```

`charlm.from_torch` reads the folder, too, to score and to generate faster.

## Trained on

{texts}

Fingerprint of the text and of how it was read: `{fingerprint}`

## Score

{score}

## Limits

- It continues text of the kind that it was trained on. It does not know what is true, answers no
  questions, and repeats what its training text says, opinions and mistakes included.
- It may write passages of its training text word for word; `charlm originality` measures it.
- It reads and writes only the {unit}s of its vocabulary.
- The score is that of one text; other texts, even of the same kind, may score otherwise.

## What the files contain

The weights, the vocabulary, which has the {unit}s of the training text, the settings of the
network, and names, digests and hashes of passages of the texts, by which a score tells how much of
a text the model has seen. They contain no training text, no paths and no state of the optimiser.
Whoever publishes the folder chooses a licence, which the rights to the training text may limit.
"""


def model_card(exported: Exported, name: str) -> str:
    """Return the model card of a network with this name, in Markdown with YAML before it."""
    checkpoint, network = exported.checkpoint, exported.network
    config, score = checkpoint.config, find_score(exported)
    vocabulary = checkpoint.vocabulary
    return _CARD.format(
        front_matter=yaml.safe_dump(
            _front_matter(exported, name, score), sort_keys=False, allow_unicode=True
        ),
        name=name,
        unit=vocabulary.unit,
        cells=config.model.cell,
        layers=count(config.model.num_layers, "layer"),
        hidden_size=config.model.hidden_size,
        parameters=network.num_parameters,
        symbols=count(len(vocabulary.symbols), vocabulary.unit),
        normal_form=config.corpus.normal_form,
        prefix=_prefix(config, exported),
        texts=_texts(exported),
        fingerprint=checkpoint.fingerprint,
        score=_describe(score, vocabulary.unit),
    )


def _front_matter(exported: Exported, name: str, score: CardScore | None) -> dict[str, Any]:
    cell = exported.checkpoint.config.model.cell
    fields: dict[str, Any] = {
        "library_name": "pytorch",
        "pipeline_tag": "text-generation",
        "tags": ["character-level", "recurrent-neural-network", cell, "charlm"],
    }
    if score is not None:
        figures = {
            "perplexity": score.perplexity,
            "bits_per_character": score.bits_per_character,
        }
        dataset = {"name": exported.text, "type": "text", "split": score.split}
        metrics = [{"type": key, "value": round(value, 4)} for key, value in figures.items()]
        result = {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}
        fields["model-index"] = [{"name": name, "results": [result]}]
    return fields


def _prefix(config: Config, exported: Exported) -> str:
    """Return a prefix that the vocabulary has: that of the config, or its first letter."""
    vocabulary = exported.checkpoint.vocabulary
    prefix = vocabulary.decode(vocabulary.encode_text(config.generation.prefix, unknown="skip"))
    if prefix or exported.boundary is not None:
        return prefix
    symbols = [chr(symbol) for symbol in vocabulary.symbols]
    return next((symbol for symbol in symbols if symbol.isalpha()), symbols[0])


def _texts(exported: Exported) -> str:
    """Return a list of the texts that the weights have seen, and what for."""
    lines = []
    for record in exported.checkpoint.provenance:
        through = f", by its {record.through}" if record.through else ""
        amount = count(record.end - record.start, "symbol")
        lines.append(f"- {record.name}: {amount}, {record.use}{through}")
    return "\n".join(lines or [f"- {exported.text}"])


def _describe(score: CardScore | None, unit: str) -> str:
    if score is None:
        return "Not known."
    rows = (f"| {name} | {value} |" for name, value in score.rows(unit))
    return "\n".join(["|  |  |", "|---|---|", *rows])
