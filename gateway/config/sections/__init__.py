"""The sections of the configuration, one file per subject; `model` puts them together."""
