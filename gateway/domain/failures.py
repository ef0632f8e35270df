"""What a gateway depends on, and may have to do without: the names of `on_failure`."""

from __future__ import annotations

from typing import Final

DEPENDENCIES: Final = ("keys", "limits", "audit", "usage", "geoip", "alerts", "config")
