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
"""Keys of Linux's list that are the same on every start, and on every machine of a kind."""
_SYSCTL_KEYS = ("machdep.cpu", "hw.cputype", "hw.cpusubtype", "hw.cpufamily", "hw.optional")


def processor() -> str:
    """Return an identifier that differs between processors that need different machine code."""
    if told := {entry for entry in _cpuinfo() if entry[0] in _CPUINFO_KEYS}:
        return " ".join([platform.machine(), *(f"{name}: {value}" for name, value in sorted(told))])
    if sys.platform == "darwin" and (told_by_mac := _sysctl()):
        return f"{platform.machine()} {told_by_mac}"
    # The system gives no details: the name of the machine distinguishes it.
    return " ".join([platform.processor(), *platform.uname()])


def processor_name() -> str:
    """Return the name of this processor for messages."""
    name = next((value for key, value in _cpuinfo() if key == "model name"), "")
    return name or platform.processor() or platform.machine()


def _cpuinfo() -> list[tuple[str, str]]:
    """Return what Linux says of the processor's cores, which may differ; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _sysctl() -> str:
    """Return what macOS says of the processor."""
    try:
        said = subprocess.run(
            ["/usr/sbin/sysctl", *_SYSCTL_KEYS], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.decode(errors="replace").strip()
