"""The command `tollhouse`: one module per group of verbs, put together in `main`."""
