"""Rules for what is told to a collector of traces."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check, load
from tests.certificates import authority, trust
from tests.config.sample import HEAD, NOTHING, problems, said, write


def traces(text: str) -> str:
    return f"telemetry: {{traces: {{{text}}}}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "endpoint: 'http://127.0.0.1:4318/v1/traces'",
        "endpoint: 'http://[::1]:4318/v1/traces', headers: {Authorization: Bearer x}",
        "endpoint: 'http://localhost:4318/v1/traces', headers: {Authorization: Bearer x}",
        "endpoint: 'https://otel.example.com/v1/traces', headers: {A: b, C: d}",
        "endpoint: 'http://otel.internal/v1/traces'",
        "endpoint: '', headers: {A: b}",
    ],
)
def test_a_collector_may_be_anywhere(tmp_path: Path, text: str) -> None:
    assert said(tmp_path, traces(text)) == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://host:port/", "http://:4318/", "http://[::/", "http://me:pw@host/", "http://host:0/"],
)
def test_an_endpoint_that_cannot_be_read_is_refused(tmp_path: Path, endpoint: str) -> None:
    (found,) = problems(tmp_path, traces(f"endpoint: '{endpoint}'"))
    assert found.path == "telemetry.traces.endpoint"
    assert not found.is_warning


def test_credentials_that_cross_the_network_in_clear_are_a_warning(tmp_path: Path) -> None:
    text = traces("endpoint: 'http://otel.internal:4318/', headers: {Authorization: hush-hush}")
    config, (found,) = check(write(tmp_path, HEAD + text), NOTHING)
    assert config is not None
    assert found.is_warning
    assert "in clear" in str(found)
    assert "hush" not in str(found)


def test_a_field_stands_once_whatever_its_case(tmp_path: Path) -> None:
    (found,) = said(tmp_path, traces("headers: {Authorization: a, authorization: b}"))
    assert "used twice" in found


@pytest.mark.parametrize("value", ['"a\\nb"', '" a"', '"\\u00e4"', '""'])
def test_a_field_that_could_not_be_sent_is_refused(tmp_path: Path, value: str) -> None:
    (found,) = said(tmp_path, traces(f"headers: {{X-Key: {value}}}"))
    assert "printable ASCII" in found


def test_a_field_that_frames_the_message_is_refused(tmp_path: Path) -> None:
    (found,) = said(tmp_path, traces("headers: {Content-Length: '1'}"))
    assert "frames the message" in found


def test_the_authorities_of_the_collector_must_be_readable(tmp_path: Path) -> None:
    text = traces("endpoint: 'https://otel.example.com/', ca: ca.pem")
    (found,) = problems(tmp_path, text)
    assert found.path == "telemetry.traces.ca"
    trust(tmp_path, authority(), "ca.pem")
    assert load(tmp_path / "config.yaml", NOTHING).telemetry.traces.ca == "ca.pem"
