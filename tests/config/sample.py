"""Configurations for tests: a minimal one, and files on disk with what `check` says about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.config.load import check, load
from gateway.config.model import Config
from gateway.config.problems import Problem

PEPPER = "0123456789abcdef0123456789abcdef"
HEAD = f"version: 1\npeppers: {{current: p1, p1: {PEPPER}}}\n"
UPSTREAM = "upstreams: {u: {targets: ['http://127.0.0.1:9000']}}\n"
NOTHING: Mapping[str, str] = {}


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    """Write a file, with its folders, and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def loaded(folder: Path, text: str, environ: Mapping[str, str] = NOTHING) -> Config:
    """Load what is expected to be right; the head is added."""
    return load(write(folder, HEAD + text), environ)


def problems(folder: Path, text: str, environ: Mapping[str, str] = NOTHING) -> list[Problem]:
    """Return all problems of a file that begins with the head."""
    config, found = check(write(folder, HEAD + text), environ)
    assert (config is None) == bool(found)
    return found


def said(folder: Path, text: str, environ: Mapping[str, str] = NOTHING) -> list[str]:
    """Return what is printed for each problem, without the place."""
    return [str(problem).partition(": ")[2] for problem in problems(folder, text, environ)]
