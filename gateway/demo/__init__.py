"""A small backend to try the gateway against; no part of the product depends on it."""
