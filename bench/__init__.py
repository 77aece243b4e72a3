"""Benchmarks: `python -m bench.performance` for speed against peers."""
