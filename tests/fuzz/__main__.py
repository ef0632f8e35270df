"""`python -m tests.fuzz`: fuzzes for a while and tells what it found."""

from __future__ import annotations

from tests.fuzz.run import main

if __name__ == "__main__":
    main()
