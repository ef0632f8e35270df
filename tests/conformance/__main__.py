"""`python -m tests.conformance`: runs every case against every subject and writes docs/conformance.md."""

from __future__ import annotations

from tests.conformance.report import main

if __name__ == "__main__":
    main()
