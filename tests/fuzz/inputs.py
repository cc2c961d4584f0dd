"""Hostile inputs as hypothesis draws them: names, trees, YAML, and damage to what is whole."""

import io
from typing import Any

import torch
from hypothesis import strategies as st

from charlm.config.schema import Config
from charlm.portable.compressed_file import (
    CODED,
    CODED_WINDOWS,
    STORED,
    Block,
    read_block,
    read_header,
    write_block,
)

characters = st.characters(exclude_categories=())  # surrogates and controls, too
any_text = st.text(characters, max_size=60)
names = any_text | st.lists(
    st.sampled_from(["..", ".", "/", "\\", "a", "~", "*", "**", "\0", "\x1b[2J", "\n", "é" * 200]),
    max_size=4,
).map("".join)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | names
    | st.sampled_from([2**62, 10**400, -1, 1e-320, "1e999h", "9" * 400, "punycode", "rot13"])
)
trees = st.recursive(
    leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(names, t), max_leaves=6
)
digests = st.sampled_from(["\ud800", "", "0" * 64, "é" * 64, None])
sections = {
    name: st.sampled_from(sorted(field.annotation.model_fields))  # type: ignore[union-attr]
    for name, field in Config.model_fields.items()
}
config_trees = (
    st.fixed_dictionaries(
        {},
        optional={
            name: st.dictionaries(keys, trees, max_size=4) for name, keys in sections.items()
        },
    )
    | trees
)
YAML = [
    *("corpus", "model:", "paths: ", "&a ", "*a", "[", "]", "{", "? ", "- ", "\n  ", "<<: ", ": "),
    *(
        "!!python/object/apply:os.system [touch exploded]",
        "'",
        '"\\ud800"',
        "1e9",
        "%YAML 9",
        "---\n",
    ),
]
yaml_texts = any_text | st.lists(st.sampled_from(YAML), max_size=12).map("".join)
settings_given = st.tuples(
    st.sampled_from([f"{s}.{k}" for s in sections for k in ("paths", "length", "cell", "x")])
    | names,
    names | yaml_texts,
).map("=".join)


@st.composite
def damages(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, flip, replace or lengthen."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["cut", "flip", "replace", "insert"]))
        if kind == "cut":
            del data[place:]
        elif kind == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        else:
            end = place + draw(st.integers(0, 9)) if kind == "replace" else place
            data[place:end] = draw(
                st.binary(max_size=9) | st.sampled_from([b"-1", b"9" * 30, b"[]"])
            )
    return bytes(data)


def forged_block(data: st.DataObject, whole: bytes) -> bytes:
    """Damage the block of a compressed file, and give it the right checksum."""
    source, target = io.BytesIO(whole), io.BytesIO()
    read_header(source)
    target.write(whole[: source.tell()])
    block = read_block(source)
    assert block is not None
    count = data.draw(st.just(block.num_symbols) | st.integers(1, 5000))
    kind = data.draw(st.sampled_from([block.kind, CODED, CODED_WINDOWS, STORED]))
    content = data.draw(damages(block.data) | st.binary(max_size=50))
    write_block(target, Block(count, kind, content))
    return target.getvalue() + source.read()


def change(data: st.DataObject, about: dict[str, Any]) -> None:
    """Put any tree in the place of one thing of a tree, or of none."""
    at: Any = about
    while data.draw(st.booleans()) and isinstance(at, dict) and at:
        key = data.draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or data.draw(st.booleans()):
            at[key] = data.draw(trees)
        at = at[key]


def forge(data: st.DataObject, about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Change one thing of what a checkpoint says, or none, and one of its tensors, or none."""
    change(data, about)
    shapes = st.lists(st.integers(0, 5), max_size=3)
    dtypes = st.sampled_from([torch.float32, torch.float64, torch.int8, torch.complex64])
    name = data.draw(st.sampled_from(sorted(tensors)))
    value = data.draw(st.sampled_from([1.0, 3e38, float("nan")]))
    odd = torch.full(data.draw(shapes), 1.0).to(data.draw(dtypes))
    tensors[name] = data.draw(
        st.sampled_from([odd, torch.full_like(tensors[name].float(), value), tensors[name]])
    )
