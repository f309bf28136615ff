"""Metrics, suites, the benchmark, reports and the replay viewer."""
