"""Measure how fast exported pages write, in node and in Chromium.

    python tests/measure_web.py [--seconds 1]

Prints characters a second with WebAssembly and without it: medians of five continuations that take
about so many seconds, at temperature 0.8, by the clock. In Chromium, the page writes as for a
person, and shows the text as it grows. The weights are random: the speed does not depend on them.
"""

import argparse
import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from support.browser import browser, open_file, wait
from support.node import run_scripts

from charlm.config.schema import Config
from charlm.corpus.vocabulary import Vocabulary
from charlm.export.integer_data import packed_network
from charlm.export.web import write_web
from charlm.models.language_model import LanguageModel
from charlm.portable.checkpoint_network import read_network
from charlm.runs.checkpoint import Checkpoint, write_checkpoint

VOCABULARY = Vocabulary(tuple(range(32, 97)))
REPETITIONS = 5
NODE = """
const network = await unpackedNetwork(data.network);
const engine = data.hasKernel ? await startedEngine(network) : new Engine(network);
const writer = new Writer(engine, 7n, { temperature: 0.8 });
const rates = [];
for (let length = 300; rates.length <= data.repetitions; ) {
  const start = performance.now();
  for (let count = 0; count < length; count++) writer.next();
  rates.push((1000 * length) / (performance.now() - start));
  length = Math.ceil(rates.at(-1) * data.seconds);
}
answer(rates.slice(1));  // without the first, which warms up
"""


def checkpoint(folder: Path, cell: str, hidden_size: int) -> Path:
    """Write a checkpoint with random weights."""
    model = {"cell": cell, "hidden_size": hidden_size, "embedding_size": 64}
    config = Config.model_validate({"model": model, "corpus": {"paths": ["novel.txt"]}})
    network = LanguageModel(config.model, len(VOCABULARY))
    network.initialize(torch.Generator().manual_seed(0))
    path = folder / f"{cell}-{hidden_size}.safetensors"
    write_checkpoint(path, Checkpoint(config, VOCABULARY, "0" * 32, network.state_dict()))
    return path


def in_node(folder: Path, path: Path, seconds: float, *, has_kernel: bool) -> float:
    network, _ = read_network(path)
    data = {"network": packed_network(network), "hasKernel": has_kernel, "seconds": seconds}
    rates: list[float] = run_scripts(folder, NODE, data | {"repetitions": REPETITIONS})
    return median(rates)


def in_chromium(driver: Any, page: Path, seconds: float) -> float:
    """Return the rate that the page shows."""
    open_file(driver, page)
    wait(driver, "!document.getElementById('continue').disabled")
    rates: list[float] = []
    length = 300
    while len(rates) <= REPETITIONS:
        driver.execute_script(
            "const byId = (id) => document.getElementById(id);"
            "[byId('text').value, byId('length').value] = ['', arguments[0]];"
            "byId('temperature').value = 0.8; byId('continue').click();",
            length,
        )
        wait(driver, "!document.getElementById('continue').disabled")
        status = driver.execute_script("return document.getElementById('status').textContent")
        rates.append(float(status.split(", ")[1].split()[0].replace(",", "")))
        length = int(rates[-1] * seconds)
    return median(rates[1:])


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    seconds = parser.parse_args().seconds
    with TemporaryDirectory() as name:
        folder = Path(name)
        for cell in ("lstm", "gru"):
            for hidden_size in (256, 512):
                path = checkpoint(folder, cell, hidden_size)
                write_web(path, folder / f"{path.stem}.html")
                for has_kernel in (True, False):
                    rates = {"node": in_node(folder, path, seconds, has_kernel=has_kernel)}
                    with browser() as driver:
                        if not has_kernel:
                            command = "Page.addScriptToEvaluateOnNewDocument"
                            source = {"source": "delete window.WebAssembly;"}
                            driver.execute_cdp_cmd(command, source)
                        page = folder / f"{path.stem}.html"
                        rates["Chromium"] = in_chromium(driver, page, seconds)
                    shown = ", ".join(f"{where} {rate:,.0f}" for where, rate in rates.items())
                    load = f"load {os.getloadavg()[0]:.1f}"
                    kind = "WebAssembly" if has_kernel else "JavaScript"
                    print(f"{cell} {hidden_size}, {kind}: {shown} ({load})", flush=True)


if __name__ == "__main__":
    main()
