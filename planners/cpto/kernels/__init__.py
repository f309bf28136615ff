"""Kernels of the consensus planner."""
