"""HTTP/1.1 without I/O: reading and writing messages, framing rules."""
