"""The scripts of a page compute the integers that charlm computes."""

import hashlib
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.integer_networks import SHAPES, VOCABULARY, random_ids, random_network
from support.node import DECOMPRESS, run_scripts

from charlm.config.sections.generation import GenerationConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.export.integer_data import packed_network
from charlm.files.untrusted import InvalidDataError
from charlm.portable import compression, tables
from charlm.portable.compiled_steps import steps_of
from charlm.portable.compressed_file import read_header
from charlm.portable.network import IntegerNetwork, IntegerOpening, shifted
from charlm.portable.sampling import Random, generate_ids

WRITE = """
const found = [];
for (const { network, prefix, seed, length, settings } of data) {
  const unpacked = await unpackedNetwork(network);
  found.push([await startedEngine(unpacked), new Engine(unpacked)].map((engine) => {
    const writer = new Writer(engine, BigInt(seed), settings);
    if (prefix.length) for (const id of prefix) writer.steps.read(id);
    else writer.begin();
    return [Boolean(engine.kernel), Array.from({ length }, () => writer.next())];
  }));
}
answer(found);
"""
"""Writes with the kernel in WebAssembly, and in plain JavaScript."""
PREFIX = VOCABULARY.encode_text("the rain").tolist()
SAMPLINGS: tuple[dict[str, Any], ...] = (
    {"greedy": True},
    {"temperature": 0.0},
    {"temperature": 0.05, "top_k": 7},
    {"temperature": 0.7, "top_p": 0.9},
    {"temperature": 2.0, "min_p": 0.1},
    {"top_k": 3, "top_p": 0.5, "min_p": 0.01},
    {"temperature": 20.0},
)


def task(network: IntegerNetwork, seed: int = 7, length: int = 2000, **settings: Any) -> Any:
    """What the script needs to generate, without a prefix if the network has openings."""
    return {
        "network": packed_network(network),
        "prefix": [] if network.openings else PREFIX,
        "seed": str(seed),
        "length": length,
        "settings": settings,
    }


def expected(one: Any, network: IntegerNetwork) -> list[int]:
    config = GenerationConfig.model_validate(one["settings"] | {"length": one["length"]})
    return list(generate_ids(network, np.array(one["prefix"], int), config, int(one["seed"])))


def check(folder: Path, networks: list[IntegerNetwork], tasks: list[Any]) -> None:
    found = run_scripts(folder, WRITE, tasks)
    for network, one, texts in zip(networks, tasks, found, strict=True):
        ids = expected(one, network)
        assert texts == [[True, ids], [False, ids]], (network.cell, one["settings"])


def test_tables_are_those_of_the_format(tmp_path: Path) -> None:
    """The page computes the same tables: their digest is that of the format."""
    code = "const t = integerTables(); answer([t.sigmoid, t.tanh, t.power].map((one) => [...one]))"
    found = run_scripts(tmp_path, code)
    data = b"".join(struct.pack(f"<{len(one)}q", *one) for one in found)
    assert hashlib.sha256(data).hexdigest()[:8] == tables.DIGEST


def test_random_bits_are_those_of_the_format(tmp_path: Path) -> None:
    seeds = [0, 7, 2**32 - 1, 2**32, 2**63 - 1]
    code = """answer(data.map((seed) => {
      const random = new RandomBits(BigInt(seed));
      return Array.from({ length: 50 }, () => random.bits());
    }))"""
    found = run_scripts(tmp_path, code, list(map(str, seeds)))
    for seed, bits in zip(seeds, found, strict=True):
        random = Random(seed)
        assert bits == [random.bits() for _ in range(50)]


def test_numbers_are_shifted_as_in_charlm(tmp_path: Path) -> None:
    """All bits, at the ends of 32-bit integers and around zero: halves are rounded up."""
    ends = (-(2**31), -(2**30), 0, 2**30, 2**31)
    near = {end + n for end in ends for n in range(-3, 4)}
    numbers = sorted(n for n in near if -(2**31) <= n < 2**31)
    code = """answer(data.map((number) => Array.from({ length: 25 }, (_, bits) =>
      [shifted(number, bits), shiftedDouble(number, bits)])))"""
    for number, found in zip(numbers, run_scripts(tmp_path, code, numbers), strict=True):
        exact = [int(shifted(np.array([number]), bits)[0]) for bits in range(25)]
        assert found == [[one, one] for one in exact], number


def test_the_text_is_that_of_charlm(tmp_path: Path) -> None:
    """2,000 characters of every shape, greedy and sampled, with small and large weights."""
    networks, tasks = [], []
    for shape in SHAPES:
        for scale, settings in ((1.0, {}), (30.0, {"greedy": True})):
            networks.append(random_network(shape, scale=scale))
            tasks.append(task(networks[-1], **settings))
    check(tmp_path, networks, tasks)


def test_networks_of_any_size(tmp_path: Path) -> None:
    """Numbers of units and symbols that the kernel's lanes do not divide change nothing."""
    shapes = ("gru of two layers", "mogrifier of three layers", "relu")
    networks = [
        random_network(shape, seed=size, scale=2.0, hidden_size=size)
        for shape in shapes
        for size in (1, 7, 8, 9, 67)
    ]
    assert len(VOCABULARY) % 4, "a number of columns that the kernel pads"
    check(tmp_path, networks, [task(network, length=300) for network in networks])


def test_settings_restrict_as_in_charlm(tmp_path: Path) -> None:
    """Temperature, top_k, top_p and min_p, with other seeds."""
    network = random_network("gru", scale=3.0)
    tasks = [task(network, 2**62 + n, 300, **one) for n, one in enumerate(SAMPLINGS)]
    check(tmp_path, [network] * len(tasks), tasks)


def test_openings_and_boundaries(tmp_path: Path) -> None:
    """A text without a prefix begins at an opening of the seed, and a boundary begins anew."""
    network = random_network("mogrifier of three layers", scale=2.0)
    states = np.random.default_rng(0).integers(-4000, 4000, (3, 2, 3, 24), dtype=np.int32)
    openings = tuple(IntegerOpening(n + 3, *state) for n, state in enumerate(states))
    boundary = int(VOCABULARY.encode_text("e")[0])
    changed = replace(network, openings=openings, boundary=boundary)
    bytes_network = random_network("lstm", Vocabulary.of_bytes())
    tasks = [task(changed, seed, 200) for seed in (0, 1, 2, 2**63 - 1)]
    tasks.append(task(bytes_network, length=200))
    check(tmp_path, [*[changed] * 4, bytes_network], tasks)


@pytest.mark.long
def test_many_models_and_texts(tmp_path: Path) -> None:
    """200 random models, each with a seed, a length and settings of its own."""
    source = np.random.default_rng(0)
    networks, tasks = [], []
    for number in range(200):
        shape = list(SHAPES)[number % len(SHAPES)]
        scale = float(2.0 ** source.uniform(-2, 5))
        network = random_network(shape, seed=number, scale=scale)
        settings = SAMPLINGS[number % len(SAMPLINGS)]
        networks.append(network)
        tasks.append(task(network, number * 10**15, int(source.integers(1, 1000)), **settings))
    check(tmp_path, networks, tasks)


def compressed(data: bytes, network: IntegerNetwork) -> bytes:
    target = io.BytesIO()
    for _ in compression.compress(io.BytesIO(data), target, network):
        pass
    return target.getvalue()


def test_files_of_charlm_are_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown characters, CR LF, raw bytes, stored blocks, several blocks, models of bytes."""
    monkeypatch.setattr(compression, "_PIECE_BYTES", 600)
    text = VOCABULARY.decode(random_ids(VOCABULARY, 1500)[:1500]).replace("\ufffd", "x")
    files = [
        b"",
        text.encode() + "ßЖ日👍\udcff".encode("utf-8", "surrogateescape"),
        b"the rain had stopped\r\n" * 40,
        np.random.default_rng(0).bytes(700) + b"the end" * 200,
    ]
    models = [random_network("lstm"), random_network("gru", Vocabulary.of_bytes())]
    pairs = [(network, file) for network in models for file in files]
    tasks = [
        {"network": packed_network(network), "file": list(compressed(file, network))}
        for network, file in pairs
    ]
    for (_, file), found in zip(pairs, run_scripts(tmp_path, DECOMPRESS, tasks), strict=True):
        assert found == list(file)


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Damage, other models and other files: the page says what is wrong."""
    network, other = random_network("lstm"), random_network("lstm", seed=1)
    whole = compressed(b"the rain had stopped", network)
    damaged = whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]
    files = [whole[:30], damaged, whole + b"x", b"PK\x03\x04" + bytes(40), b""]
    tasks = [{"network": packed_network(network), "file": list(file)} for file in files]
    tasks.append({"network": packed_network(other), "file": list(whole)})
    assert run_scripts(tmp_path, DECOMPRESS, tasks) == [
        "it is cut short",
        "it is damaged",
        "it is damaged at its end",
        "charlm did not compress it",
        "charlm did not compress it",
        "another model compressed it",
    ]


def test_headers_are_read_as_by_charlm(tmp_path: Path) -> None:
    """Each length of a header, and each wrong byte, gives the reason that charlm gives."""
    network = random_network("lstm")
    whole = compressed(b"the rain", network)[:22]
    headers = [whole[:size] for size in range(22)]
    for place, values in ((0, (0,)), (4, (0, 2, 255)), (5, (2, 128, 255))):
        for digest in (whole[6:], bytes(16)):
            headers += [
                whole[:place] + bytes([value]) + whole[place + 1 : 6] + digest for value in values
            ]
    tasks = [{"network": packed_network(network), "file": list(one)} for one in headers]
    for header, found in zip(headers, run_scripts(tmp_path, DECOMPRESS, tasks), strict=True):
        with pytest.raises(InvalidDataError) as reason:
            read_header(io.BytesIO(header))
        assert found == str(reason.value).replace("this charlm", "this page"), header


def test_steps_equal_after_any_text(tmp_path: Path) -> None:
    """The frequencies after a text with unknown characters are the same numbers."""
    network = random_network("one-hot", scale=4.0)
    ids = random_ids(VOCABULARY, 300)
    steps = steps_of(network)
    steps.read(ids)
    code = """const steps = new Steps(await startedEngine(await unpackedNetwork(data.network)));
    for (const id of data.ids) steps.read(id);
    answer([...steps.frequencies]);"""
    data = {"network": packed_network(network), "ids": ids.tolist()}
    assert run_scripts(tmp_path, code, data) == steps.frequencies.tolist()
