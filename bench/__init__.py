"""Measurements: `bench.performance`, speed against peers; `bench.accuracy`, the studies."""
