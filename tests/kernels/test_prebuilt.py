"""The kernels that a wheel carries: which are loaded, and what they compute."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import library_laws
from support.kernels import needs_compiler
from torch import nn

from charlm.environment import processor
from charlm.kernels import compiler, prebuilt
from charlm.kernels.libraries import suffix
from charlm.kernels.store import KernelStore
from charlm.models.cells import LSTMCell

ROOT = Path(__file__).parents[2]
AVX = "fpu sse sse2 ssse3 sse4_1 sse4_2 avx f16c"
AVX2 = f"{AVX} avx2 fma bmi1 bmi2 abm movbe"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl"
BFLOAT16 = f"{AVX512} avx512_vnni avx512_bf16"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the libraries, with an empty file for each instruction set."""
    path = tmp_path / "prebuilt"
    path.mkdir()
    for name in prebuilt._NEEDED:
        (path / f"kernels-{name}{suffix()}").touch()
    monkeypatch.setattr(prebuilt, "FOLDER", path)
    return path


@pytest.fixture
def use_processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that replaces the processor: the flags of its cores, as Linux tells them."""

    def use(*cores: str, machine: str = "x86_64") -> None:
        monkeypatch.setattr(processor, "_cpuinfo", lambda: [("flags", core) for core in cores])
        monkeypatch.setattr(platform, "machine", lambda: machine)

    return use


def chosen() -> str | None:
    path = prebuilt.prebuilt_library(processor.instructions())
    return None if path is None else path.stem.removeprefix("kernels-")


@pytest.mark.parametrize(
    ("cores", "name"),
    [
        ([AVX], None),
        ([AVX2], "avx2"),
        ([AVX512], "avx2"),
        ([BFLOAT16], "avx512-bfloat16"),
        ([BFLOAT16, BFLOAT16], "avx512-bfloat16"),
        ([BFLOAT16, AVX2], "avx2"),
        ([AVX2.replace(" fma", "")], None),
    ],
)
def test_library_fits_the_processor(
    cores: list[str], name: str | None, folder: Path, use_processor: Callable[..., None]
) -> None:
    """The fastest library is chosen whose instructions every core has."""
    use_processor(*cores)
    assert chosen() == name
    if name == "avx512-bfloat16":  # as in a wheel that has no such library
        (folder / f"kernels-{name}{suffix()}").unlink()
        assert chosen() == "avx2"


def test_processors_beside_linux(
    folder: Path, use_processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch tells what a processor can do where Linux does not, and ARM always has NEON."""
    use_processor(machine="AMD64")
    told = dict.fromkeys(("avx2", "fma3", "f16c", "bmi", "bmi2", "lzcnt"), True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert chosen() == "avx2"
    told |= {f"avx512_{part}": True for part in ("f", "bw", "cd", "dq", "vl", "bf16")}
    assert chosen() == "avx512-bfloat16"
    told["fma3"] = False
    assert chosen() is None
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert chosen() is None
    use_processor(machine="arm64")
    assert chosen() == "neon"


@pytest.fixture
def carried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library for this processor, which has AVX2: the one that was built here."""
    data = KernelStore(compiler.kernels_version()).read()
    path = folder / f"kernels-avx2{suffix()}"
    path.write_bytes(data or b"")
    monkeypatch.setattr(compiler, "instructions", lambda: prebuilt._AVX2)
    return path


WITHOUT_COMPILER = [({"PATH": "/nowhere"}, "no C++ compiler"), ({"CXX": "false"}, "a message")]


@needs_compiler
@pytest.mark.parametrize(("variables", "reason"), WITHOUT_COMPILER)
def test_prebuilt_library_computes(
    variables: dict[str, str],
    reason: str,
    carried: Path,
    cache: Path,
    forgetful: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    random: torch.Generator,
) -> None:
    """Without a compiler that works, the wheel's kernels compute, as those built here do."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forgetful()
    assert compiler.library() is not None
    assert compiler.description().startswith("prebuilt kernels-avx2 (")
    assert reason in compiler.description()
    cell, X = LSTMCell(4, 8), torch.randn(5, 3, 4, generator=random)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, generator=random)
    outputs, _ = cell(X, cell.initial_state(3))
    torch.testing.assert_close(outputs, cell.equations(X, cell.initial_state(3))[0])
    assert not list(cache.rglob(f"*{suffix()}"))


@needs_compiler
def test_compiler_comes_first(carried: Path, forgetful: Callable[[], None]) -> None:
    """Where the kernels can be built, the wheel's are not used."""
    assert compiler.description() == "compiled kernels"


def test_damaged_prebuilt_library(
    carried: Path, cache: Path, forgetful: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch computes, and the description names the file."""
    monkeypatch.setenv("PATH", "/nowhere")
    carried.write_bytes(b"no library")
    assert compiler.library() is None
    assert compiler.description().startswith("PyTorch's kernels (no C++ compiler found")
    assert str(carried) in compiler.description()


@needs_compiler
def test_library_equals_numpy() -> None:
    """Products, loss, recurrence, generation and n-grams are those of numpy."""
    library = compiler.library()
    assert library is not None
    library_laws.check(library)


def unpacked_wheel(system: str, folder: Path) -> Path:
    """Build the wheel of a system, and return the folder of its kernels."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, env={**os.environ, "CHARLM_WHEEL": system})
    (wheel,) = folder.glob(f"*-py3-none-{system}.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "unpacked")
    return folder / "unpacked" / "charlm" / "kernels"


@pytest.mark.long
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("g++"),
    reason="it builds the wheel of Linux on x86-64",
)
def test_wheel_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each library that this processor can run passes the tests of kernels and generation."""
    folder = unpacked_wheel("manylinux_2_17_x86_64", tmp_path)
    monkeypatch.setattr(prebuilt, "FOLDER", folder)
    monkeypatch.setenv("PYTHONPATH", str(folder.parents[1]))
    monkeypatch.setenv("CXX", "false")
    names = ("kernels/test_kernels.py", "prediction/test_generation.py")
    tests = ["pytest", "-q", "-p", "no:cacheprovider", *(str(ROOT / "tests" / n) for n in names)]
    told = "from charlm.kernels import compiler; print(compiler.description())"
    tried = []
    while (fastest := prebuilt.prebuilt_library(processor.instructions())) is not None:
        tried.append(fastest.name)
        library_laws.check(ctypes.CDLL(str(fastest)))
        command = [sys.executable, "-c", told]
        description = subprocess.check_output(command, cwd=tmp_path, text=True)
        assert description.startswith(f"prebuilt {fastest.stem} (")
        subprocess.run([sys.executable, "-m", *tests], cwd=tmp_path, check=True)
        fastest.unlink()
    assert "kernels-avx2.so" in tried


@pytest.mark.long
@pytest.mark.skipif(
    not os.environ.get("CHARLM_ARM64") or not shutil.which("qemu-aarch64"),
    reason="CHARLM_ARM64 names no folder with Debian's Python and numpy for arm64",
)
def test_wheel_of_arm64(tmp_path: Path) -> None:
    """The library equals numpy in an emulated processor."""
    library = unpacked_wheel("manylinux_2_17_aarch64", tmp_path) / "kernels-neon.so"
    usr = Path(os.environ["CHARLM_ARM64"], "usr")
    (python,) = (usr / "bin").glob("python3.??")
    folders = [usr / "lib" / "aarch64-linux-gnu" / name for name in ("blas", "lapack")]
    variables = [
        *("-E", f"PYTHONHOME={usr}", "-E", f"PYTHONPATH={usr}/lib/python3/dist-packages"),
        *("-E", f"LD_LIBRARY_PATH={':'.join(map(str, folders))}"),
    ]
    emulator = ["qemu-aarch64", "-L", str(usr.parent), *variables, str(python)]
    subprocess.run([*emulator, library_laws.__file__, str(library)], check=True)
