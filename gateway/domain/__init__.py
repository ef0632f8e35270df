"""The quiet rooms: values and rules. No I/O, no clock, no randomness, no library."""
