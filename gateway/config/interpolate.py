"""`${VAR}`, `${VAR:-default}` and `${file:path}` in values.

Knows the syntax, the environment it was given and how a secret file is read. It must not know which
key a value belongs to. A message names the variable or file, never what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.config.problems import quoted
from gateway.config.sections.values import Interpolated
from gateway.config.sources import Reading

SECRET_FILE_BYTES_MAX: Final = 64 * 1024
"""Larger than any pepper or token; a wrong path to a big file shall not fill the memory."""

_PLACEHOLDER: Final = re.compile(r"\$\$|\$\{([^}]*)(\})?")
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FILE: Final = re.compile(r"file:(.+?)(?::-(.*))?", re.DOTALL)


class UnresolvedError(ValueError):
    """A placeholder cannot be replaced; the text says why and what to do."""


class Interpolator:
    """Replaces placeholders from `environ` and from files; relative paths start at `folder`.

    `outside` collects every value that was fetched: it may be a secret, so no message may show it.
    """

    def __init__(
        self, environ: Mapping[str, str], folder: Path, reading: Reading | None = None
    ) -> None:
        self.outside: set[str] = set()
        self._reading = reading or Reading()
        self._environ = environ
        self._folder = folder

    def resolve(self, text: str) -> str:
        """Return `text` with every placeholder replaced and `$$` as `$`; raise `UnresolvedError`.

        The result is `Interpolated` when a placeholder was replaced. A `$` before anything else
        stands for itself, so regular expressions need no escape.
        """
        if "$" not in text:
            return text
        replaced = False

        def replace(found: re.Match[str]) -> str:
            nonlocal replaced
            if found[0] == "$$":
                return "$"
            if found[2] is None:
                raise UnresolvedError("`${` is not closed; write `$${` for a literal `${`")
            replaced = True
            return self._value(found[1])

        result = _PLACEHOLDER.sub(replace, text)
        return Interpolated(result) if replaced else result

    def _value(self, inside: str) -> str:
        if found := _FILE.fullmatch(inside):
            value, default = self._file(found[1], found[2]), found[2]
        elif found := _VARIABLE.fullmatch(inside):
            value, default = self._variable(found[1], found[2]), found[2]
        else:
            raise UnresolvedError(
                f"{quoted('${' + inside + '}')} is not a placeholder: write ${{NAME}}, "
                "${NAME:-default} or ${file:path}"
            )
        if value != default:  # a default stands in the file itself
            self.outside.add(value)
        return value

    def _variable(self, name: str, default: str | None) -> str:
        value = self._environ.get(name)
        if default is not None:
            return value or default  # as a shell reads `:-`: an empty variable counts as unset
        if value is None:
            raise UnresolvedError(
                f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return value

    def _file(self, name: str, default: str | None) -> str:
        path = self._folder / name
        try:
            content = self._reading.read(path, SECRET_FILE_BYTES_MAX + 1)
            if len(content) > SECRET_FILE_BYTES_MAX:
                raise UnresolvedError(f"the file {quoted(str(path))} is larger than 64 KiB")
            return content.decode().rstrip("\r\n")
        except FileNotFoundError:
            if default is not None:
                return default
            raise UnresolvedError(f"the file {quoted(str(path))} does not exist") from None
        except UnicodeDecodeError:
            raise UnresolvedError(f"the file {quoted(str(path))} is not UTF-8 text") from None
        except (OSError, ValueError) as error:
            if isinstance(error, UnresolvedError):
                raise
            text = error.strerror if isinstance(error, OSError) else "not a path"
            raise UnresolvedError(f"the file {quoted(str(path))} cannot be read: {text}") from None
