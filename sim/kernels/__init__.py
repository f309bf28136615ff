"""Kernels: batched primitives in Numba with NumPy references."""
