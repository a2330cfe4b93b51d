"""Benchmarks: each `bench_<room>.py` has `run()`, which returns figures under stable names (DESIGN section 8)."""
