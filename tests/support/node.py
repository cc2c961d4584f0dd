"""Run the scripts of the integer network under node."""

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from charlm.export.web import SCRIPTS

DECOMPRESS = """
const found = [];
for (const { network, file } of data) {
  const engine = await startedEngine(await unpackedNetwork(network));
  const work = decompressed(engine, Uint8Array.from(file));
  let step;
  try {
    for (step = work.next(); !step.done; ) step = work.next();
    const whole = Buffer.concat(step.value.pieces);
    const digest = require("crypto").createHash("sha256").update(whole).digest("hex");
    found.push(digest.startsWith(step.value.digest) ? [...whole] : "differs");
  } catch (error) { found.push(error.message); }
}
answer(found);
"""
"""Decompresses files with networks; answers the bytes of each, or what is wrong with it."""


def skip_without_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")


def run_scripts(folder: Path, code: str, data: object = None) -> Any:
    """Run code after the scripts; `data` is there, and what it passes to `answer` is returned."""
    skip_without_node()
    templates = files("charlm.pages") / "templates"
    scripts = [(templates / name).read_text("utf-8") for name in SCRIPTS]
    (folder / "data.json").write_text(json.dumps(data), "utf-8")
    begin = (
        '"use strict"; const files = require("fs");\n'
        f"const data = JSON.parse(files.readFileSync({json.dumps(str(folder / 'data.json'))}));\n"
        "const answer = (value) => console.log(JSON.stringify(value));\n"
    )
    whole = begin + "\n".join(scripts) + f"\n(async () => {{ {code} }})();"
    (folder / "script.js").write_text(whole, "utf-8")
    done = subprocess.run(
        ["node", folder / "script.js"], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
