"""nginx: the upstream of everybody, a proxy without any policy, and one whose policy is written in Lua."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from string import Template
from typing import Final

from bench.machine import Absent, program
from bench.peers.site import ENDLESS, Launch, Site
from bench.policy import BIG_BYTES, BIG_PATH, BODY_BYTES, CHECKED_PATH, POST_BYTES, WHOLE_FIELD

FRAME: Final = Template("""
$modules
worker_processes 1;
worker_rlimit_nofile 20000;
pid $folder/nginx.pid;
error_log $folder/error.log warn;
daemon off;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests $endless;
  keepalive_timeout 1h;
  client_body_buffer_size 64k;
  client_body_temp_path $folder/client;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  default_type application/json;
  $body
}
""")

UPSTREAM: Final = Template("""
  map $$request_body $$body_is_whole {
    "~^x{$post_bytes}$$" yes;
    default no;
  }
  open_file_cache max=4 inactive=1h;
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / { return 200 '$json'; }
    location = $big_path { alias $folder/big.json; }
    location = $checked_path {
      # Only what is passed on is read into a variable.
      proxy_pass http://127.0.0.1:$port/;
      add_header $whole_field $$body_is_whole;
    }
  }
""")

PLAIN: Final = Template("""
  $backend
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
""")

LUA: Final = Template("""
  $backend
  $scripts
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / {
      access_by_lua_block { policy.check() }
      log_by_lua_block { policy.record() }
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
""")

DECISION: Final = Template("""
  $scripts
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / { content_by_lua_block { policy.decide() } }
  }
""")

SCRIPTS: Final = Template("""
  lua_package_path "$scripts/?.lua;$folder/?.lua;;";
  lua_shared_dict buckets 10m;
  lua_shared_dict counts 2m;
  init_by_lua_block { policy = require "policy" }
  init_worker_by_lua_block { policy.count_every_second() }
""")

BACKEND: Final = Template("""
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  upstream backend {
    server 127.0.0.1:$upstream;
    keepalive 8192;
    keepalive_requests $endless;
    keepalive_timeout 1h;
  }
""")


def upstream(site: Site) -> Launch:
    """Answer everything with 1 KiB of JSON, but for one path with 100 KiB."""
    site.write("big.json", _json(BIG_BYTES))
    body = UPSTREAM.substitute(
        port=site.port, json=_json(BODY_BYTES), folder=site.folder, big_path=BIG_PATH,
        checked_path=CHECKED_PATH, post_bytes=POST_BYTES, whole_field=WHOLE_FIELD,
    )  # fmt: skip
    return _nginx(site, body)


def plain(site: Site) -> Launch:
    """Forward everything."""
    return _nginx(site, PLAIN.substitute(port=site.port, backend=_backend(site)))


def lua(site: Site) -> Launch:
    """Check in Lua, the architecture of Kong and APISIX."""
    body = LUA.substitute(port=site.port, backend=_backend(site), scripts=_scripts(site))
    return _nginx(site, body, _lua_modules())


def lua_decision(site: Site) -> Launch:
    """Answer another gateway that asks whether a request has a key with the right scope; no limit, no count."""
    body = DECISION.substitute(port=site.port, scripts=_scripts(site))
    return _nginx(site, body, _lua_modules())


def _scripts(site: Site) -> str:
    site.write("policy_data.lua", _lua_policy(site))
    return SCRIPTS.substitute(folder=site.folder, scripts=Path(__file__).parent)


def _lua_modules() -> str:
    folder = _modules_folder()
    files = [folder / name for name in ("ndk_http_module.so", "ngx_http_lua_module.so")]
    if not all(file.exists() for file in files):
        raise Absent("nginx has no Lua module: apt-get install libnginx-mod-http-lua")
    return "\n".join(f"load_module {file};" for file in files)


def framed(folder: Path, body: str, modules: str = "") -> str:
    """Return a whole configuration around what stands in its `http` block."""
    if os.geteuid() == 0:
        modules += "\nuser root;"  # its folder is a private one
    return FRAME.substitute(folder=folder, body=body, modules=modules, endless=ENDLESS)


def _nginx(site: Site, body: str, modules: str = "") -> Launch:
    config = site.write("nginx.conf", framed(site.folder, body, modules))
    return Launch([program("nginx", "nginx-light"), "-p", str(site.folder), "-c", str(config)])


def _backend(site: Site) -> str:
    return BACKEND.substitute(upstream=site.upstream_port, endless=ENDLESS)


def _json(size: int) -> str:
    return '{"data":"' + "x" * (size - 11) + '"}'


def _modules_folder() -> Path:
    """Return where this nginx keeps its modules: it says so itself."""
    told = subprocess.run(
        [program("nginx", "nginx-light"), "-V"], capture_output=True, text=True, check=False
    )
    found = re.search(r"--modules-path=(\S+)", told.stderr)
    return Path(found[1]) if found else Path("/usr/lib/nginx/modules")


def _lua_policy(site: Site) -> str:
    """Return routes and keys as the Lua module `policy_data`."""
    keys = (
        f'["{key.token}"]={{name="{key.name}",limit={key.limit},scopes={{'
        + ",".join(f'["{scope}"]=true' for scope in key.scopes)
        + "}}"
        for key in site.policy.keys
    )
    routes = (
        f'["{route.method} {route.path}"]={{name="{route.name}",scope="{route.scope}"}}'
        for route in site.policy.routes
    )
    return f"return {{keys={{{','.join(keys)}}},routes={{{','.join(routes)}}}}}\n"
