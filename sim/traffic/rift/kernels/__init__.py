"""Kernels of the policy: what it sees, its candidates, what becomes of them and what they are worth."""
