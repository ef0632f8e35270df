"""The life of the process: signals, drain, revision, periodic work."""
