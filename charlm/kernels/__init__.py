"""The C++ kernels for the work of every time step, and the Python functions that call them."""
