"""Adapters of `KeyStore`: memory, SQLite, and the bounded cache in front of them."""
