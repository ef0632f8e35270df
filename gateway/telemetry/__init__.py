"""Adapters of `Recorder`: metrics, access log, last use."""
