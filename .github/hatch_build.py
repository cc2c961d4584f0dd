"""Build the kernels into the wheel for one system, whose platform tag `CHARLM_WHEEL` names.

    CHARLM_WHEEL=win_amd64 python -m pip wheel --no-deps --wheel-dir dist .

Without the variable the wheel is pure. Zig (the package ziglang) compiles for every system. Its
code for x86-64 is slower than GCC's, so GCC compiles for Linux on x86-64: Zig then links with its
stubs of an old glibc, and with GCC's static libstdc++.
"""

import hashlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLATFORMS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "manylinux_2_17_x86_64": (
        "x86_64-linux-gnu.2.17",
        {"avx2": ["-march=x86-64-v3"], "avx512-bfloat16": ["-march=x86-64-v4", "-mavx512bf16"]},
    ),
    "manylinux_2_17_aarch64": ("aarch64-linux-gnu.2.17", {"neon": []}),
    "macosx_11_0_arm64": ("aarch64-macos.11.0", {"neon": []}),
    "macosx_10_13_x86_64": ("x86_64-macos.10.13", {"avx2": ["-mcpu=x86_64_v3"]}),
    "win_amd64": (
        "x86_64-windows-gnu",
        {
            "avx2": ["-mcpu=x86_64_v3"],
            "avx512-bfloat16": ["-mcpu=x86_64_v4+avx512bf16", "-mprefer-vector-width=512"],
        },
    ),
}
"""For each platform tag, Zig's name of it, and each library's options for the compiler."""
BUILT_BY_GCC = "manylinux_2_17_x86_64"
OLD_GLIBC = """
/* glibc has this since 2.32 and libstdc++ reads it: 0 means that there may be several threads. */
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
"""
EXPORTED = "{ global: charlm_*; local: *; };"
"""Linker script that hides the C++ library: the process may have another one."""


class KernelsHook(BuildHookInterface[Any]):
    """Adds the libraries of one platform to the wheel, and tags it."""

    def dependencies(self) -> list[str]:
        return ["ziglang==0.17.1"] if os.environ.get("CHARLM_WHEEL") else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        platform = os.environ.get("CHARLM_WHEEL")
        if not platform:
            return
        if platform not in PLATFORMS:
            sys.exit(f"CHARLM_WHEEL: {platform} is none of {', '.join(PLATFORMS)}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        for library in libraries(Path(self.root), platform):
            build_data["force_include"][str(library)] = f"charlm/kernels/{library.name}"


def libraries(root: Path, platform: str) -> list[Path]:
    """Build the libraries of a platform, unless they were built from these sources before."""
    sources = [*sorted((root / "charlm/kernels").glob("*pp")), root / "charlm/kernels/flags.py"]
    texts = [source.read_bytes() for source in (*sources, Path(__file__))]
    digest = hashlib.sha256(b"\n".join(texts)).hexdigest()[:20]
    folder = root / "build" / "kernels" / f"{platform}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".dll" if platform.startswith("win") else ".so"
    target, options = PLATFORMS[platform]
    built = [folder / f"kernels-{name}{suffix}" for name in options]
    for path, chosen in zip(built, options.values(), strict=True):
        if not path.exists():
            _build(root, path, target, chosen, platform == BUILT_BY_GCC)
    return built


def _build(root: Path, library: Path, target: str, options: list[str], by_gcc: bool) -> None:
    flags = runpy.run_path(str(root / "charlm/kernels/flags.py"))["FLAGS"]
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", target]
    source, compiled = root / "charlm/kernels/kernels.cpp", library.with_suffix(".o")
    compiler = ["g++"] if by_gcc else zig
    _run(*compiler, *flags, *options, "-c", source, "-o", compiled)
    # Zig builds its C++ library for the oldest processor, and once for all libraries of a target.
    linked, added = library.with_suffix(".linked"), []
    if "linux" in target:
        script = library.with_suffix(".map")
        script.write_text(EXPORTED)
        added = [f"-Wl,--version-script={script}", "-Wl,--gc-sections"]
    if by_gcc:
        zig[zig.index("c++")] = "cc"  # without Zig's C++ library
        shim = library.with_suffix(".c")
        shim.write_text(OLD_GLIBC)
        added += [shim, *map(_gcc_file, ("libstdc++.a", "libgcc_s.so.1")), "-lm"]
    _run(*zig, "-O3", "-shared", "-s", "-pthread", compiled, *added, "-o", linked)
    linked.replace(library)


def _gcc_file(name: str) -> str:
    command = ["g++", f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _run(*command: str | Path) -> None:
    print(*command, file=sys.stderr)
    subprocess.run(command, check=True)
