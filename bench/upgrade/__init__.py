"""Replaces a gateway under load by another version of itself, and counts who noticed: `make bench-upgrade`."""
