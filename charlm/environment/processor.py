"""Identify this machine's processor."""

import platform
import subprocess
import sys
from pathlib import Path

_CPUINFO_KEYS = frozenset(
    {
        *("model name", "vendor_id", "cpu family", "model", "stepping", "flags"),  # x86
        *("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part"),  # ARM
        *("isa", "uarch", "cpu", "cpu model", "machine", "features"),  # RISC-V, POWER, MIPS, s390
    }
)
"""Keys of /proc/cpuinfo whose values are the same after each start and on equal machines."""
_NAMES = {"fma": "fma3", "bmi1": "bmi", "abm": "lzcnt"}
"""Linux's names of instructions, and PyTorch's."""
_SYSCTL_KEYS = ("machdep.cpu", "hw.cputype", "hw.cpusubtype", "hw.cpufamily", "hw.optional")


def processor() -> str:
    """Return an identifier that differs between processors that need different machine code."""
    if properties := {entry for entry in _cpuinfo() if entry[0] in _CPUINFO_KEYS}:
        return " ".join(
            [platform.machine(), *(f"{name}: {value}" for name, value in sorted(properties))]
        )
    if sys.platform == "darwin" and (mac_properties := _sysctl()):
        return f"{platform.machine()} {mac_properties}"
    # The system gives no details: the name of the machine distinguishes it.
    return " ".join([platform.processor(), *platform.uname()])


def processor_name() -> str:
    """Return the name of this processor for messages."""
    name = next((value for key, value in _cpuinfo() if key == "model name"), "")
    return name or platform.processor() or platform.machine()


def instructions() -> frozenset[str]:
    """Return the instruction sets of this processor that the system lets programs use.

    The names are those of PyTorch without underscores, such as `avx512bf16`.
    """
    if platform.machine().lower() in ("arm64", "aarch64"):
        return frozenset({"neon"})  # all of them have it
    cores = [value.split() for key, value in _cpuinfo() if key == "flags"]
    if cores:
        names = set.intersection(*map(set, cores))
    else:
        import torch  # noqa: PLC0415 - not where Linux tells

        # Older versions of PyTorch do not tell.
        told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        names = {name for name, is_there in told.items() if is_there is True}
    return frozenset(_NAMES.get(name, name).replace("_", "") for name in names)


def _cpuinfo() -> list[tuple[str, str]]:
    """Return the properties of all cores from Linux, which may differ; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _sysctl() -> str:
    """Return the properties of the processor from macOS."""
    try:
        result = subprocess.run(
            ["/usr/sbin/sysctl", *_SYSCTL_KEYS], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.decode(errors="replace").strip()
