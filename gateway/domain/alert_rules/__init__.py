"""What the rules of alerts look for: pure functions from readings to findings, one file per kind of reading."""
