"""Differential fuzzing: what the gateway takes bytes for, against what other readers take them for.

    grammar   makes requests: from the cases of the conformance suite and from a grammar, then damages them
    readers   second readers: h11, and a lenient one as old servers are
    oracle    what must hold of one run: the readers agree with what the gateway decided, nothing passed without a key
    run       the loop: `python -m tests.fuzz --seconds 60 --seed 1`

A finding is printed with the bytes that make it, cut down to the smallest that still do.
"""
