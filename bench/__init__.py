"""Measures the gateway beside plain nginx and an aiohttp proxy that carries out the same policy.

`machine` starts, pins and meters processes; `policy` is what every subject must enforce; `subjects`
says how each is started; `verify` proves that it enforces the policy before it is measured; `load`
runs the paired slices; `report` turns them into a table. `transfer` is a separate run: one long
body down and up, and what it cost in memory. Nothing of this is imported by the gateway.
"""
