"""Recognise and describe errors that report a lack of memory."""

import re

_MEMORY_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # on Windows
    "Storage size calculation overflowed",  # more bytes than 64 bits can count
    "MPS backend out of memory",
    "std::bad_alloc",
)
"""What PyTorch says in a `RuntimeError` where it has no type of error for it."""


_AMOUNT_PATTERN = re.compile(r"allocate ([\d.,]+ \w+)")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is Python's, NumPy's or PyTorch's for a lack of memory."""
    kind = type(error)
    if isinstance(error, MemoryError):
        return True
    if kind.__name__ == "OutOfMemoryError" and kind.__module__.partition(".")[0] == "torch":
        return True  # known by its name, so that nothing here loads PyTorch
    return kind is RuntimeError and any(saying in str(error) for saying in _MEMORY_MESSAGES)


def describe(error: BaseException) -> str:
    """Say that there is not enough memory, and how much was asked for, where the error says it."""
    amount = _AMOUNT_PATTERN.search(str(error))
    if amount is None:
        return "not enough memory"
    number, unit = amount[1].split()
    if unit == "bytes" and number.isdigit():
        number, unit = f"{int(number) / 1e9:,.1f}", "GB"
    return f"not enough memory for {number} {unit} more"
