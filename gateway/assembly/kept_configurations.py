"""The configurations of before the start: kept as texts when they are taken, and read again for a rollback.

Knows where the history lies, and that a disk that fails costs the way back and nothing else. It must not know how a
configuration is taken into force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from gateway.config.changes import changes
from gateway.config.history import History, Texts
from gateway.config.load import Loaded, read_kept
from gateway.config.model import Config
from gateway.config.places import anchored
from gateway.config.reloading import ReloadRefused
from gateway.control.beside import beside
from gateway.control.reload import sound

_log = logging.getLogger(__name__)


class KeptConfigurations:
    """The history of one gateway, beside its store. `met` is told of what was read, so that its texts can be kept."""

    def __init__(self, config: Config, config_path: Path, environ: Mapping[str, str]) -> None:
        folder = anchored(config_path, config.store.path).parent
        self.history = History(folder / f"{config_path.name}.history")
        self._config_path = config_path
        self._environ = environ
        self._met: Loaded | None = None
        self._taken_at = 0.0
        self._turn = asyncio.Lock()

    def met(self, loaded: Loaded, taken_at: float = 0.0) -> None:
        """Take note of what was read last; of something that was in force from `taken_at` on before the start."""
        self._met, self._taken_at = loaded, taken_at

    def texts_of(self, config: Config) -> Texts | None:
        """Return the texts of `config`, None where it is not what was read last."""
        return self._met.texts if self._met is not None and self._met.config is config else None

    def version_of(self, config: Config) -> str:
        """Return the version of `config`, empty where it is not known."""
        texts = self.texts_of(config)
        return "" if texts is None else texts.version

    def taken_at_of(self, config: Config) -> float:
        """Return since when `config` was in force before the start; 0 for any other."""
        return 0.0 if self.texts_of(config) is None else self._taken_at

    async def note(self, texts: Texts, at: float, replaced: str = "") -> None:
        """Keep `texts`, unless a secret stands in them; the version `replaced` meant the same. Never fails."""
        if texts.secrets:
            _log.warning(
                "this configuration is not kept: after a restart, no rollback leads to it. A secret stands in its text:"
                " %s. Name it with ${file:...} or ${VAR}.",
                ", ".join(texts.secrets[:5]),
            )
            return
        try:
            async with self._turn:
                await beside(self.history.note, texts, at, replaced)
        except OSError as error:
            _log.error(
                "this configuration is not kept: after a restart, no rollback leads to it. %s: %s",
                self.history.path,
                error.strerror,
            )

    async def before(self, present: Config, version: str) -> Config | None:
        """Return the latest configuration that is kept and means something else than `present`, None where there is
        none. Raises `ReloadRefused` for one that cannot be used any more.
        """
        try:
            kept = await beside(self.history.kept)
        except (OSError, ValueError) as error:
            raise ReloadRefused(f"what is kept cannot be read: {error}") from error
        for each in reversed(kept):
            if each.texts.version == version:
                continue
            loaded = await beside(read_kept, self._config_path, self._environ, each.texts)
            found = sound(loaded)
            if await beside(changes, present, found):
                self.met(loaded, each.taken_at)
                return found
        return None
