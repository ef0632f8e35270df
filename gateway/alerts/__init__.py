"""Alerts: looks at usage, keys and the gateway itself, keeps what is found, and tells the channels."""
