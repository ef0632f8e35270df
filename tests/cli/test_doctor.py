"""Each examination finds what it is for, and leaves alone what is as it should be."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.checkup import edge, host, secrets, store
from gateway.cli.checkup.finding import Examination, Finding, Patient
from gateway.cli.doctor import EXAMINATIONS, examine
from gateway.cli.main import main
from gateway.config.load import read
from gateway.stores import sqlite
from gateway.stores.migrations import prepare, steps
from gateway.stores.sqlite_lock import shared
from tests.certificates import authority, issue, trust
from tests.config.sample import PEPPER, write
from tests.key_samples import a_key, a_tenant

LISTEN = (
    "listeners:\n"
    "  public: {bind: '0.0.0.0:0'}\n"
    "  admin: {bind: 'unix:run/admin.sock'}\n"
    "  metrics: {bind: '127.0.0.1:0'}\n"
)
HEAD = "version: 1\npeppers: {current: p1, p1: '${file:secrets/pepper}'}\nstore: {path: data/keys.db}\n"
KEYS = "key_formats: {f: {prefix: sk, environments: [live, test]}}\n"


def patient(folder: Path, text: str = "", listen: str = LISTEN, **changes: object) -> Patient:
    """Return a configuration on disk in which nothing is wrong, but for `text`."""
    folder.chmod(0o700)
    pepper = write(folder, PEPPER, "secrets/pepper")
    pepper.chmod(0o600)
    path = write(folder, HEAD + listen + text)
    path.chmod(0o640)
    loaded = read(path, {})
    assert loaded.config is not None, loaded.problems
    return replace(
        Patient(
            path=path,
            config=loaded.config,
            sources=loaded.sources,
            is_running=False,
            now=time.time(),
        ),
        **changes,  # type: ignore[arg-type]
    )


def found(examination: Examination, of: Patient) -> list[Finding]:
    findings = list(examination(of))
    assert findings, "an examination says something in any case"
    assert all(bool(each.advice) is (each.level != "ok") for each in findings)
    return findings


def level(examination: Examination, of: Patient) -> str:
    """Return the worst of all levels."""
    levels = {each.level for each in found(examination, of)}
    return next(each for each in ("fail", "warn", "ok") if each in levels)


def said(examination: Examination, of: Patient) -> str:
    return "\n".join(f"{each.level} {each.text}" for each in found(examination, of))


async def _fill(path: Path, *pepper_ids: str) -> None:
    async with sqlite.opened(path) as opened:
        await opened.save_tenant(a_tenant())
        for n, pepper_id in enumerate(pepper_ids):
            await opened.save_key(a_key(f"key_{n}", pepper_id=pepper_id))


def filled(of: Patient, *pepper_ids: str) -> Patient:
    asyncio.run(_fill(of.store, *pepper_ids))
    return of


# ---- secrets


def test_a_secret_that_everybody_can_read_fails_and_one_for_the_group_does_not(
    tmp_path: Path,
) -> None:
    sound = patient(tmp_path)
    assert level(secrets.secret_files, sound) == "ok"
    (tmp_path / "secrets" / "pepper").chmod(0o640)
    assert level(secrets.secret_files, sound) == "ok"
    (tmp_path / "secrets" / "pepper").chmod(0o644)
    assert "secrets/pepper can be read by every user" in said(secrets.secret_files, sound)
    assert level(secrets.secret_files, sound) == "fail"


def test_a_configuration_that_others_can_change_is_warned_of(tmp_path: Path) -> None:
    sound = patient(tmp_path)
    sound.path.chmod(0o664)
    assert level(secrets.secret_files, sound) == "warn"
    sound.path.chmod(0o644)  # it holds no secret itself: anybody may read it
    assert level(secrets.secret_files, sound) == "ok"


def test_the_store_is_a_secret_and_a_certificate_is_none(tmp_path: Path) -> None:
    issue(tmp_path, authority(), "api.test")
    (tmp_path / "server.key").chmod(0o600)
    (tmp_path / "server.pem").chmod(0o644)
    tls = LISTEN.replace(
        "'0.0.0.0:0'",
        "'0.0.0.0:0', tls: {certificates: [{certificate: server.pem, key: server.key}]}",
    )
    sound = filled(patient(tmp_path, "", tls))
    assert level(secrets.secret_files, sound) == "ok"
    (tmp_path / "server.key").chmod(0o644)
    assert "server.key can be read" in said(secrets.secret_files, sound)
    (tmp_path / "server.key").chmod(0o600)
    sound.store.chmod(0o644)
    assert "keys.db can be read" in said(secrets.secret_files, sound)


def test_certificates_of_upstreams_may_be_read_and_their_keys_not(tmp_path: Path) -> None:
    ca = authority()
    trust(tmp_path, ca)
    issue(tmp_path, ca, "client.test")
    for name in ("ca.pem", "server.pem", "server.key"):
        (tmp_path / name).chmod(0o644)
    text = (
        "upstreams: {u: {targets: ['https://127.0.0.1:1'], tls: {ca: ca.pem,"
        " certificate: server.pem, key: server.key}}}\n"
    )
    sound = patient(tmp_path, text)
    told = said(secrets.secret_files, sound)
    assert "server.key can be read" in told
    assert "pem can be read" not in told


@pytest.mark.parametrize(
    ("pepper", "expected"), [(PEPPER, "ok"), ("a" * 40, "warn"), ("0123456789abcdef" * 4, "ok")]
)
def test_a_pepper_that_does_not_look_random_is_warned_of(
    pepper: str, expected: str, tmp_path: Path
) -> None:
    of = patient(tmp_path, "# one pepper\n")
    text = of.path.read_text().replace("${file:secrets/pepper}", pepper)
    loaded = read(write(tmp_path, text), {})
    assert loaded.config is not None
    assert level(secrets.peppers, replace(of, config=loaded.config)) == expected


def test_two_peppers_that_are_the_same_fail(tmp_path: Path) -> None:
    of = patient(tmp_path)
    text = of.path.read_text().replace("p1: '", "p2: '${file:secrets/pepper}', p1: '")
    loaded = read(write(tmp_path, text), {})
    assert loaded.config is not None
    assert level(secrets.peppers, replace(of, config=loaded.config)) == "fail"


def test_keys_of_190_bits_are_told_as_such(tmp_path: Path) -> None:
    """X-9."""
    short = "key_formats: {f: {prefix: sk, environments: [live, test], random: 32}}\n"
    assert "warn keys of format f have 190 random bits (32 characters)" in said(
        secrets.key_formats, patient(tmp_path, short)
    )
    assert level(secrets.key_formats, patient(tmp_path, KEYS)) == "ok"


def test_keys_without_a_checksum_are_warned_of_and_foreign_ones_are_not(tmp_path: Path) -> None:
    text = (
        "key_formats:\n"
        "  f: {prefix: sk, environments: [live, test], checksum: none}\n"
        "  foreign: {prefix: '', environments: [live], checksum: none}\n"
    )
    findings = found(secrets.key_formats, patient(tmp_path, text))
    assert [(each.level, "format f " in each.text) for each in findings] == [("warn", True)]


# ---- the store


def test_a_store_that_is_not_there_yet_is_fine_where_it_can_be_made(tmp_path: Path) -> None:
    assert "will be made at the first start" in said(store.store, patient(tmp_path))


def test_a_sound_store_is_counted(tmp_path: Path) -> None:
    of = filled(patient(tmp_path), "p1", "p1")
    told = said(store.store, of)
    assert "is sound: 2 keys, 1 tenants" in told
    assert level(store.store, of) == "ok"


def test_a_damaged_store_fails(tmp_path: Path) -> None:
    of = filled(patient(tmp_path), *["p1"] * 300)
    with of.store.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xa5" * 4096 * 4)
    assert level(store.store, of) == "fail"


def test_an_older_store_is_warned_of_before_it_is_migrated(tmp_path: Path) -> None:
    of = patient(tmp_path)
    of.store.parent.mkdir()
    prepare(of.store, steps()[:1])
    assert "warn" in said(store.store, of)
    assert "the next start brings it" in said(store.store, of)


def test_keys_under_older_and_lost_peppers_are_counted(tmp_path: Path) -> None:
    of = patient(tmp_path)
    text = of.path.read_text().replace("p1: '", f"p0: {PEPPER[::-1]}, p1: '")
    loaded = read(write(tmp_path, text), {})
    assert loaded.config is not None
    of = filled(replace(of, config=loaded.config), "p1", "p0", "p0", "gone")
    told = said(store.store, of)
    assert "warn 2 keys are still under an older pepper" in told
    assert "fail 1 keys are under pepper gone" in told


def test_a_clock_that_is_behind_what_was_written_fails(tmp_path: Path) -> None:
    of = filled(patient(tmp_path), "p1")
    assert level(store.store, of) == "ok"
    late = replace(of, now=of.now - 3600)
    assert "3600 seconds behind" in said(store.store, late)


def test_room_on_the_disk_is_held_against_what_the_request_log_may_take(tmp_path: Path) -> None:
    small = patient(tmp_path, "request_log: {bytes_max: 1MiB}\n")
    assert "GiB are free" in said(store.room, small)
    endless = patient(tmp_path, "request_log: {bytes_max: 900000GB}\n")
    assert level(store.room, endless) == "warn"
    off = patient(tmp_path, "request_log: {path: 'off'}\n")
    assert len(found(store.room, off)) == 1


# ---- the edge


def test_certificates_are_looked_at_before_they_expire(tmp_path: Path) -> None:
    assert said(edge.certificates, patient(tmp_path)) == "ok none are used"
    issue(tmp_path, authority(), "api.test")
    tls = LISTEN.replace(
        "'0.0.0.0:0'",
        "'0.0.0.0:0', tls: {certificates: [{certificate: server.pem, key: server.key}]}",
    )
    of = patient(tmp_path, "", tls)
    [finding] = found(edge.certificates, of)
    assert finding.level == "ok"
    days = float(finding.text.split("for ")[1].split()[0])
    for left, expected in ((20, "ok"), (5, "warn"), (-1, "fail")):
        assert level(edge.certificates, replace(of, now=of.now + (days - left) * 86400)) == expected
    (tmp_path / "server.pem").write_text("nothing")
    assert level(edge.certificates, of) == "fail"


@pytest.mark.parametrize(
    ("text", "bind", "expected"),
    [
        ("", "0.0.0.0:0", "ok"),
        ("", "127.0.0.1:0", "warn"),
        ("", "unix:run/public.sock", "warn"),
        ("client_address: {trusted_proxies: [10.0.0.0/8]}\n", "127.0.0.1:0", "ok"),
        ("client_address: {trusted_proxies: [0.0.0.0/0]}\n", "0.0.0.0:0", "fail"),
        ("client_address: {trusted_proxies: ['2000::/3']}\n", "0.0.0.0:0", "fail"),
    ],
)
def test_whose_word_on_addresses_is_believed_fits_where_it_listens(
    text: str, bind: str, expected: str, tmp_path: Path
) -> None:
    of = patient(tmp_path, text, LISTEN.replace("0.0.0.0:0", bind))
    assert level(edge.trusted_proxies, of) == expected


@pytest.mark.parametrize(
    ("admin", "metrics", "expected"),
    [
        ("bind: 'unix:run/a.sock'", "bind: '127.0.0.1:0'", "ok"),
        ("bind: '127.0.0.1:0'", "bind: 'localhost:0'", "ok"),
        ("bind: '0.0.0.0:0', insecure: true", "bind: '127.0.0.1:0'", "fail"),
        ("bind: 'unix:run/a.sock'", "bind: '0.0.0.0:0'", "warn"),
        ("bind: 'gateway.test:0', insecure: true", "bind: '127.0.0.1:0'", "fail"),
    ],
)
def test_what_is_not_for_clients_is_out_of_their_reach(
    admin: str, metrics: str, expected: str, tmp_path: Path
) -> None:
    listen = LISTEN.replace("bind: 'unix:run/admin.sock'", admin).replace(
        "bind: '127.0.0.1:0'", metrics
    )
    assert level(edge.exposure, patient(tmp_path, "", listen)) == expected


@pytest.mark.parametrize("listener", ["forward_auth", "delivery"])
def test_listeners_through_which_secrets_pass_are_looked_at_when_they_are_there(
    listener: str, tmp_path: Path
) -> None:
    for bind, expected in (("127.0.0.1:0", "ok"), ("0.0.0.0:0", "fail")):
        listen = f"{LISTEN}  {listener}: {{bind: '{bind}', insecure: true}}\n"
        of = patient(tmp_path, "client_address: {trusted_proxies: [10.0.0.0/8]}\n", listen)
        assert level(edge.exposure, of) == expected
        assert f"listeners.{listener}" in said(edge.exposure, of)


def test_the_address_of_the_dashboard_is_looked_at_as_the_admin_api_is(tmp_path: Path) -> None:
    for bind, expected in (("127.0.0.1:0", "ok"), ("0.0.0.0:0", "fail")):
        of = patient(tmp_path, f"dashboard: {{bind: '{bind}', insecure: true}}\n")
        assert level(edge.exposure, of) == expected
        assert f"dashboard listens on {bind}" in said(edge.exposure, of)
        assert f"dashboard.bind {bind} is free" in said(edge.ports, of)


def test_an_admin_api_beyond_this_host_is_warned_of_even_with_tls(tmp_path: Path) -> None:
    issue(tmp_path, authority(), "api.test")
    tls = "bind: '0.0.0.0:0', tls: {certificates: [{certificate: server.pem, key: server.key}]}"
    listen = LISTEN.replace("bind: 'unix:run/admin.sock'", tls)
    assert level(edge.exposure, patient(tmp_path, "", listen)) == "warn"


def test_a_port_that_somebody_else_has_fails_and_one_of_our_own_does_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        of = patient(tmp_path, "", LISTEN.replace("0.0.0.0:0", f"127.0.0.1:{port}"))
        assert f"fail listeners.public.bind 127.0.0.1:{port} is in use" in said(edge.ports, of)
        assert level(edge.ports, replace(of, is_running=True)) == "ok"
    assert level(edge.ports, of) == "ok"


def test_a_unix_socket_in_use_is_told_apart_from_one_that_was_left(tmp_path: Path) -> None:
    of = patient(tmp_path)
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "admin.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        assert level(edge.ports, of) == "ok"  # nobody listens
        taken.listen()
        assert level(edge.ports, of) == "fail"
    assert level(edge.ports, of) == "ok"


def test_an_address_that_this_host_does_not_have_fails(tmp_path: Path) -> None:
    of = patient(tmp_path, "", LISTEN.replace("0.0.0.0:0", "192.0.2.1:8080"))
    assert level(edge.ports, of) == "fail"


# ---- the host


def test_too_few_open_files_are_told_with_what_comes_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of = patient(tmp_path)
    for hard, expected in ((10**6, "ok"), (1000, "warn"), (100, "fail")):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (50, hard))
        assert level(host.descriptors, of) == expected


def test_a_unit_that_lacks_something_is_compared_with_ours(tmp_path: Path) -> None:
    of, units = patient(tmp_path), tmp_path / "units"
    units.mkdir()

    def examined() -> Finding:
        [finding] = host.service_manager(of, (units,), tmp_path)
        return finding

    assert "without a unit" in examined().text
    unit = units / "tollhouse.service"
    unit.write_text("[Service]\nType=simple\n")
    assert (examined().level, "Type=notify" in examined().text) == ("warn", True)
    shipped = Path(__file__).parents[2] / "deploy" / "systemd" / "tollhouse.service"
    unit.write_text(shipped.read_text())
    assert examined().level == "ok"


def test_the_user_is_told(tmp_path: Path) -> None:
    [finding] = host.user(patient(tmp_path))
    assert finding.level == ("warn" if os.geteuid() == 0 else "ok")


# ---- the command


def test_mistakes_in_the_configuration_are_all_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "rutes: []\n")
    findings = list(examine(path))
    assert {each.check for each in findings} == {"configuration"}
    assert all(each.level == "fail" for each in findings)


def test_a_running_gateway_is_known_by_its_store(tmp_path: Path) -> None:
    of = filled(patient(tmp_path), "p1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = LISTEN.replace("0.0.0.0:0", f"127.0.0.1:{taken.getsockname()[1]}")
        of = patient(tmp_path, "", listen)
        with shared(of.store):
            levels = {each.level for each in examine(of.path) if each.check == "ports"}
            assert levels == {"ok"}
        levels = {each.level for each in examine(of.path) if each.check == "ports"}
        assert levels == {"ok", "fail"}


@pytest.mark.parametrize(("mode", "status"), [(0o600, 0), (0o644, 1)])
def test_the_exit_status_tells_whether_something_is_to_be_repaired(
    mode: int, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = patient(tmp_path)
    (tmp_path / "secrets" / "pepper").chmod(mode)
    assert main(["doctor", "--config", str(of.path), "--output", "json"]) == status
    told = capsys.readouterr()
    findings = json.loads(told.out)["findings"]
    assert {"configuration", "peppers", "store", "ports", "open files"} <= {
        each["check"] for each in findings
    }
    assert f"{status} to repair" in told.err
    assert PEPPER not in told.out + told.err
    main(["doctor", "--config", str(of.path), "--output", "table"])
    told = capsys.readouterr()
    assert ("-> chmod o=" in told.out) is bool(status)


def test_every_examination_has_something_to_say_of_a_sound_installation(tmp_path: Path) -> None:
    of = patient(tmp_path)
    for examination in EXAMINATIONS:
        assert level(examination, of) in {"ok", "warn"}, examination
