"""The upstream shell: connections, pools, balance, timeouts."""
