"""The cases, one module per family; `words` has what they are made of."""
