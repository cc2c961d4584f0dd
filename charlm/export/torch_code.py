"""Write the Python code of one network, to be read: PyTorch's modules and the vocabulary.

The template `torch_model.py.jinja` also has what only some networks need, such as records; the code
has only what this network needs.
"""

from pathlib import Path

from jinja2 import StrictUndefined, Template

from charlm.corpus.vocabulary import Vocabulary
from charlm.export import torch_mogrifier
from charlm.export.exported import Exported

_TEMPLATE = Path(__file__).with_name("torch_model.py.jinja")


def torch_code(exported: Exported) -> str:
    """Return the source of a module that loads and runs the network, and needs only PyTorch."""
    model, vocabulary = exported.network.config, exported.checkpoint.vocabulary
    _, begin, rest = Path(torch_mogrifier.__file__).read_text("utf-8").partition("class ")
    template = Template(
        _TEMPLATE.read_text("utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    code: str = template.render(
        model.model_dump(),
        mogrifier=f"{begin}{rest}",
        beginning=_beginning(vocabulary, exported.boundary),
        boundary=exported.boundary,
        normal_form=exported.checkpoint.config.corpus.normal_form,
        unit=vocabulary.unit,
        vocabulary_size=len(vocabulary),
    )
    return code


def _beginning(vocabulary: Vocabulary, boundary: int | None) -> str:
    """Return the expression for the text that the network reads before it generates."""
    if boundary is not None:
        return f"{_quoted(vocabulary.decode([boundary]))} + prefix"
    preferred = [code for code in map(ord, "\n ") if code in vocabulary.symbols]
    return f"prefix or {_quoted(chr((*preferred, *vocabulary.symbols)[0]))}"


def _quoted(character: str) -> str:
    """Return a literal in ASCII, in double quotes where they need no escape."""
    literal = ascii(character)
    return literal if '"' in literal else f'"{literal[1:-1]}"'
