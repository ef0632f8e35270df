"""Golden files: the answer to every reason in every dialect, byte for byte.

`<dialect>/<reason>.http` holds the status line, the header fields that the dialect sets, an empty
line and the body, each line ended by LF. `python -m tests.golden.write` writes them anew; read the
difference before it is committed, because clients see each byte of it.
"""
