"""The downstream shell: sockets, connections, limits and timeouts."""
