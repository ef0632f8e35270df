"""Three gateways, one PostgreSQL, one Redis on this machine: to try (`make cluster`) and to measure.

The servers come from the packages of the test extra, or are those that the environment names.
"""
