"""The drivers' kernels, compiled without fast mathematics."""
