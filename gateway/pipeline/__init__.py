"""The story of a request, one verb per file."""
