"""Flags with which every library of the kernels is compiled, here and for the wheels."""

FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-pthread",
    "-ffp-contract=fast",
    "-fno-math-errno",  # but no flag that changes the meaning of NaN
)
