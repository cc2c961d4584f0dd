"""A mistake on the command line is found before torch is imported."""

import json
import subprocess
import sys
from pathlib import Path

from support.texts import TEXT

MISTAKES = {
    "names of texts": ["train", "novl.txt"],
    "names of configs": ["train", "quikstart"],
    "keys": ["train", "novel.txt", "--set", "model.hiden_size=64"],
    "keys of a resumed run": ["train", "--resume", "runs/old", "--set", "model.hiden_size=64"],
    "values": ["train", "novel.txt", "--hidden-size", "big"],
    "names of runs": ["train", "novel.txt", "--name", "old"],
    "run to resume": ["train", "--resume", "runs/none"],
    "encoding": ["train", "letter.docx"],
    "bytes": ["train", "novel.txt", "latin.txt", "--set", "corpus.encoding=utf-8"],
    "empty text": ["train", "empty.txt"],
    "text to download": ["train", "--set", "corpus.builtin=faust"],
    "globs": ["train", "none/*.txt"],
    "run to evaluate": ["eval", "runs/none"],
    "text to evaluate": ["eval", "runs/old", "--text", "novl.txt"],
    "run to generate from": ["generate", "nothing"],
    "folder of runs": ["generate", "--runs", "elsewhere"],
    "prefix file": ["generate", "runs/old", "--prefix-file", "none"],
    "text to measure": ["bench", "--text", "novl.txt"],
}
RUN_ALL = """
import json, sys
from charlm.cli.main import app

for name, arguments in json.loads(sys.argv[1]).items():
    try:
        app(arguments)
    except SystemExit as end:
        print(json.dumps([name, end.code, "torch" in sys.modules]), flush=True)
"""


def test_mistakes_need_no_torch(tmp_path: Path) -> None:
    """Names, paths, keys and the beginning of a text are checked first, in one line each."""
    (tmp_path / "novel.txt").write_text(TEXT, "utf-8")
    (tmp_path / "letter.docx").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "latin.txt").write_bytes("Café\n".encode("latin-1"))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "runs/old/checkpoints").mkdir(parents=True)
    (tmp_path / "runs/old/checkpoints/best.safetensors").touch()
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(MISTAKES)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results == [[name, 1, False] for name in MISTAKES]
    lines = done.stderr.splitlines()
    assert len(lines) == len(MISTAKES), done.stderr
    assert all(line.startswith("charlm: ") for line in lines)
