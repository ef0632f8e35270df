"""Adapters of `Limiter`, `Throttle` and `Headcount`: of one process, and of all processes of a host."""
