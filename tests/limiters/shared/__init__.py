"""Limits in shared memory: one worker, several, and workers that die."""
