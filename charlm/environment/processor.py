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
