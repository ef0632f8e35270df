"""Gateways written for comparison only."""
