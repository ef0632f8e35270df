"""Slow and hostile clients against a running gateway: `python -m bench.hostile`.

Each attack runs beside normal traffic of a fixed rate, whose latency is compared with that of the seconds before.
"""
