"""The pages of a one-time link, in HTML.

Knows markup: no script, nothing from elsewhere, and a policy that says so to the browser. It must not know what a link
is worth.
"""

from __future__ import annotations

import shlex
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"
    "textarea{width:100%;font:14px/1.5 monospace;padding:.5rem;box-sizing:border-box}"
    "button{font:inherit;padding:.5rem 1rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)
_PAGE: Final = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    "<title>{title}</title><style>{style}</style></head>\n<body><main>\n<h1>{title}</h1>\n{body}\n</main></body></html>\n"
)


def headers() -> dict[str, str]:
    """Return the fields that go with each page: nothing is fetched, framed, kept or told to others."""
    style = b64encode(sha256(_STYLE.encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow",
    }


def offer() -> str:
    """Return the page with the button: reading it takes nothing, so a preview of the link does no harm."""
    return _page(
        "An API key for you",
        "<p>This link shows an API key <strong>once</strong>. Press the button when you are ready to store it, best"
        " in a secret manager: nobody can show it again.</p>\n"
        '<form method="post"><button type="submit">Show the key</button></form>',
    )


def key(name: str, secret: str, export_name: str) -> str:
    """Return the page with the secret."""
    line = f"export {export_name}={shlex.quote(secret)}"
    return _page(
        "Your API key",
        f"<p>Key <strong>{escape(name)}</strong>. It is shown this once: store it now, then close this page.</p>\n"
        f'<p><label for="secret">The key</label></p>\n{_field("secret", secret)}\n'
        f'<p><label for="line">For a shell</label></p>\n{_field("line", line)}',
    )


def gone() -> str:
    """Return the page for a link that gives nothing, whatever the cause."""
    return _page(
        "This link gives nothing",
        "<p>It was used, it has ended, or it never existed. Ask whoever sent it for a new one. If you did not use it"
        " yourself, tell them: then somebody else has.</p>",
    )


def _field(name: str, text: str) -> str:
    return f'<textarea id="{name}" rows="2" readonly spellcheck="false">{escape(text)}</textarea>'


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=title, style=_STYLE, body=body)
