"""How much memory there is, and errors that report a lack of it."""

import os
import re

_MEMORY_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # on Windows
    "Storage size calculation overflowed",  # more bytes than 64 bits can count
    "MPS backend out of memory",
    "std::bad_alloc",
)
"""Messages of the `RuntimeError` that PyTorch raises where it has no type for this error."""

_AMOUNT_PATTERN = re.compile(r"allocate ([\d.,]+ \w+)")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is Python's, NumPy's or PyTorch's for a lack of memory."""
    kind = type(error)
    if isinstance(error, MemoryError):
        return True
    if kind.__name__ == "OutOfMemoryError" and kind.__module__.partition(".")[0] == "torch":
        return True  # recognised by its name, so that this module does not import torch
    return kind is RuntimeError and any(message in str(error) for message in _MEMORY_MESSAGES)


def describe(error: BaseException) -> str:
    """Describe a lack of memory, with the amount if the error states it."""
    amount = _AMOUNT_PATTERN.search(str(error))
    if amount is None:
        return "not enough memory"
    number, unit = amount[1].split()
    if unit == "bytes" and number.isdigit():
        number, unit = f"{int(number) / 1e9:,.1f}", "GB"
    return f"not enough memory for {number} {unit} more"


def physical_memory() -> int | None:
    """Return the bytes of memory of this machine, or None if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
