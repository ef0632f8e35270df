"""The access log and the request log as configured, and the former's replacement while requests are being recorded.

Knows where lines go and who writes them. It must not know what a line says.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.assembly import policy
from gateway.assembly.writer import Writer
from gateway.config import model
from gateway.config.places import anchored
from gateway.domain.redaction import Redactor
from gateway.ports import Clock
from gateway.telemetry.access_log import Outlet
from gateway.telemetry.request_log_segments import SegmentWriter
from gateway.telemetry.sink import STDOUT, Sink

OFF: Final = "off"
"""The path that means nowhere."""

_TRIED_BYTES: Final = 65_536
"""More than a disk that is full to the last block takes."""

_log = logging.getLogger(__name__)


class OpenLog:
    """An access log that is open, with what writes it beside the event loop.

    Raises `OSError` when the file cannot be opened.
    """

    def __init__(
        self,
        section: model.AccessLog,
        config_path: Path,
        clock: Clock,
        patience_seconds: float,
    ) -> None:
        path = STDOUT if section.path == STDOUT else str(anchored(config_path, section.path))
        self._sink = Sink(path)
        self.outlet = Outlet("access log", self._write, clock=clock, lines_max=section.lines_max)
        self._writer = Writer(self.outlet, patience_seconds)

    def _write(self, lines: Sequence[bytes]) -> None:
        self._sink.write(b"".join(lines))

    async def flush(self) -> None:
        """Write the waiting lines. Raises `TimeoutError` while the sink is stuck."""
        await self._writer.flush()

    def reopen(self) -> None:
        """Go on in a new file after log rotation."""
        self._sink.reopen()

    async def close(self) -> None:
        """Write what is left and close the file. A sink that is stuck is left behind."""
        try:
            await self.flush()
        except TimeoutError:
            _log.error("the access log is stuck: its last lines are lost")
        else:
            self._sink.close()


class OpenRequestLog:
    """The request log as this process writes it, beside the event loop.

    Raises `OSError` when its folder cannot be used.
    """

    def __init__(
        self, config: model.Config, config_path: Path, clock: Clock, patience_seconds: float
    ) -> None:
        section = config.request_log
        folder = anchored(config_path, section.path)
        self._segments = SegmentWriter(
            folder,
            clock,
            bytes_max=section.bytes_max,
            sync=os.fdatasync if section.fsync == "flush" else None,
        )
        self.outlet = Outlet(
            "request log", self._segments.write, clock=clock, lines_max=section.lines_max
        )
        self._writer = Writer(self.outlet, patience_seconds)
        self._folder = folder

    async def flush(self) -> None:
        """Write the waiting lines. Raises `TimeoutError` while the disk is stuck.

        While nobody makes a request that could be written, it is tried whether the disk takes something again.
        """
        await self._writer.flush()
        if self.outlet.is_failing and not len(self.outlet):
            await asyncio.to_thread(self._try)

    def _try(self) -> None:
        beside = self._folder / f".trying-{os.getpid()}"
        with suppress(OSError):
            beside.write_bytes(bytes(_TRIED_BYTES))
            self.outlet.is_failing = False
        with suppress(OSError):
            beside.unlink(missing_ok=True)

    async def close(self) -> None:
        """Write what is left and complete the segment. A disk that is stuck is left behind."""
        try:
            await self.flush()
        except TimeoutError:
            _log.error("the request log is stuck: its last lines are lost")
        else:
            self._segments.close()


def without_logs(config: model.Config) -> model.Config:
    """Return `config` as it is for a process that serves no requests: its workers write the logs and
    export the traces."""
    section = config.telemetry
    off = section.access_log.model_copy(update={"path": OFF})
    untraced = section.traces.model_copy(update={"endpoint": ""})
    telemetry = section.model_copy(update={"access_log": off, "traces": untraced})
    request_log = config.request_log.model_copy(update={"path": OFF})
    return config.model_copy(update={"telemetry": telemetry, "request_log": request_log})


def redactor(config: model.Config, before: model.Config | None = None) -> Redactor:
    """Return what removes anything that looks like one of our keys from a text, also like one of the formats before."""
    sections = [*config.key_formats.values(), *(before.key_formats.values() if before else ())]
    return Redactor({(section.prefix, section.environments) for section in sections})


def policy_names(config: model.Config) -> list[str]:
    """Return the names of all limits as metrics spell them."""
    plans = policy.plans(config).values()
    return [f"{plan.name}/{rule.name}" for plan in plans for rule in plan.rules]
