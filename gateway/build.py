"""Says which build this is: plain Python, or compiled by mypyc from the same sources.

Knows only where it was itself loaded from: a build compiles all modules that setup.py lists, this one among them, or
none. Nothing may behave differently because of it.
"""

from __future__ import annotations

from typing import Final

BUILD: Final = "pure" if __file__.endswith(".py") else "compiled"
"""`pure` or `compiled`: what `tollhouse --version`, the log line of a start and `build_info` say."""
