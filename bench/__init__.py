"""Measures the gateway beside plain nginx and gateways that carry out the same policy.

`machine` starts, pins and meters processes; `policy` is what every subject must enforce; `peers` and `subjects` say how
each is started; `verify` proves that it enforces the policy before it is measured. `work` holds the loads, `load` and
`constant_rate` produce them, `session` runs them in rounds, `slices` says what may be concluded from pairs; `report`,
`plot` and `figures` turn that into tables and a chart. `growth` and `scaling` are runs of their own: as routes, keys
and connections grow, and with two workers. Others are `transfer`, `streams`, `handshakes`, `reload` and `hostile`.
Nothing of this is imported by the gateway.
"""
