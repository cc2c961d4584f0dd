"""Compiled kernels: what runs at every step of a sequence, in C++, and its Python side."""
