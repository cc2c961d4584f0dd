"""The WebAssembly of exported pages computes the products of plain JavaScript, where it runs."""

import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from support.integer_networks import random_network
from support.node import run_scripts

from charlm.export.integer_data import packed_network

TEMPLATES = files("charlm.pages") / "templates"
PRODUCTS = """
const kernel = new Kernel(await WebAssembly.compile(Buffer.from(KERNEL_CODE, "base64")));
const matrices = data.map(({ operand, columns, base }) =>
  kernel.product(Int16Array.from(columns.flat()), operand.length, base && Int32Array.from(base)));
answer(data.map(({ operand, columns, base }, number) => {
  const compiled = new Int32Array(columns.length), plain = new Int32Array(columns.length);
  const numbers = Int16Array.from(operand), W = Int16Array.from(columns.flat());
  matrices[number](numbers, compiled);
  multiply(numbers, W, base && Int32Array.from(base), plain);
  return [[...compiled], [...plain]];
}));
"""
FAULTS = {
    "no WebAssembly": "delete globalThis.WebAssembly;",
    "no SIMD, or a policy": (
        "WebAssembly.compile = async () => { throw new WebAssembly.CompileError('refused'); };"
    ),
    "no memory": "WebAssembly.Memory = class { constructor() { throw new RangeError('full'); } };",
    "too little memory": (
        "WebAssembly.Memory.prototype.grow = () => { throw new RangeError('full'); };"
    ),
}
"""Code that lets WebAssembly fail, by what it stands for."""


def test_the_code_is_that_of_the_source() -> None:
    """The script has the digest of the source that it was compiled from."""
    digest = hashlib.sha256((TEMPLATES / "integer_kernel.c").read_bytes()).hexdigest()
    written = (TEMPLATES / "integer_kernel_code.js").read_text("utf-8")
    assert f"SHA-256 of the source: {digest}\n" in written, "run make web-kernel"


def test_products_are_exact(tmp_path: Path) -> None:
    """All sizes, with the largest numbers, equal the sums modulo 2^32; the memory grows."""
    source = np.random.default_rng(0)
    tasks, sums = [], []
    for rows, columns in [*source.integers(1, 40, (60, 2)).tolist(), (300, 200), (1, 1), (8, 4)]:
        W = source.choice([-32768, -32767, -1, 0, 5, 32767], (columns, rows))
        operand = source.choice([-32768, -3, 0, 7, 32767], rows)
        base = source.integers(-(2**31), 2**31, columns) if rows % 2 else None
        exact = W @ operand + (0 if base is None else base)
        sums.append(exact.astype(np.int32).tolist())
        numbers = {"operand": operand.tolist(), "columns": W.tolist()}
        tasks.append(numbers | {"base": None if base is None else base.tolist()})
    for exact, found in zip(sums, run_scripts(tmp_path, PRODUCTS, tasks), strict=True):
        assert found == [exact, exact]


@pytest.mark.parametrize("fault", FAULTS)
def test_plain_javascript_replaces_it(tmp_path: Path, fault: str) -> None:
    """Whatever is missing, the page computes the same frequencies without the kernel."""
    code = f"""
    const network = await unpackedNetwork(data), engines = [await startedEngine(network)];
    {FAULTS[fault]}
    engines.push(await startedEngine(network));
    answer(engines.map((engine) => {{
      const steps = new Steps(engine);
      for (let id = 1; id < 25; id++) steps.read(id);
      return [Boolean(engine.kernel), [...steps.frequencies]];
    }}));
    """
    network = random_network("mogrifier of three layers", scale=2.0)
    (has_kernel, expected), (still_has, found) = run_scripts(
        tmp_path, code, packed_network(network)
    )
    assert (has_kernel, still_has) == (True, False)
    assert found == expected
