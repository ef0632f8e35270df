"""Run the demo backend by itself: `python -m gateway.demo --port 9000`."""

from __future__ import annotations

import argparse

from aiohttp import web

from gateway.demo.upstream import create_demo_app


def main() -> None:
    """Serve the demo backend until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo", description=__doc__)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; it echoes whatever it is sent (127.0.0.1)",
    )
    parser.add_argument("--port", type=int, default=9000, help="TCP port (9000)")
    options = parser.parse_args()
    web.run_app(create_demo_app(), host=options.host, port=options.port, access_log=None)


if __name__ == "__main__":
    main()
