"""Adapters of `Limiter` and `Throttle`."""
