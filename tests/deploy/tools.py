"""Programs and libraries of the extra `test-deploy`, which judge files for Docker and Kubernetes."""

from __future__ import annotations

import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

_INSTALL = "pip install 'tollhouse[test-deploy]'"


def tool(name: str) -> str:
    """Return the path of a program, beside this interpreter or anywhere; skip the test where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed ({_INSTALL}), so this file is NOT tested")
    return found


def library(name: str) -> Any:
    """Return a module; skip the test where there is none."""
    try:
        return import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed ({_INSTALL}), so this file is NOT tested")
