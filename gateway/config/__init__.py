"""Configuration: one YAML file in, a typed model out, every mistake named at once."""
