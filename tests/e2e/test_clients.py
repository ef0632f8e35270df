"""The same key from the HTTP clients that vendors' documents show: curl, Node, Python, Ruby, PHP (HP-6)."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.e2e.process import Running

CURL = ("curl", "-sS", "-o", "-", "-w", " %{http_code}")
NODE = """
const [url, key] = process.argv.slice(1);
const fields = {'Authorization': `Bearer ${key}`, 'Content-Type': 'application/json'};
const statuses = [];
for (let n = 0; n < 3; n++) {
  const response = await fetch(url, {headers: fields});
  await response.json();
  statuses.push(response.status);
}
console.log(statuses.join(' '));
"""
PYTHON = """
import sys, requests
url, key = sys.argv[1:]
session = requests.Session()
fields = {'Authorization': f'Bearer {key}', 'Content-Type': 'application/json'}
answers = [session.get(url, headers=fields) for _ in range(3)]
assert all(answer.json() for answer in answers)
print(*[answer.status_code for answer in answers])
"""
RUBY = """
require 'net/http'
require 'uri'
uri = URI.parse(ARGV[0])
request = Net::HTTP::Get.new(uri)
request["Authorization"] = "Bearer #{ARGV[1]}"
request["Content-Type"] = "application/json"
statuses = Net::HTTP.start(uri.hostname, uri.port) { |http| (1..3).map { http.request(request).code } }
puts statuses.join(" ")
"""
PHP = """
$handle = curl_init();
curl_setopt($handle, CURLOPT_URL, $argv[1]);
curl_setopt($handle, CURLOPT_HTTPHEADER,
  ["Authorization: Bearer " . $argv[2], "Content-Type: application/json"]);
curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
$statuses = [];
for ($n = 0; $n < 3; $n++) { curl_exec($handle); $statuses[] = curl_getinfo($handle, CURLINFO_HTTP_CODE); }
echo implode(" ", $statuses);
"""
CLIENTS = {
    "node": ("node", "--input-type=module", "-e", NODE, "--"),
    "python": (sys.executable, "-c", PYTHON),
    "ruby": ("ruby", "-e", RUBY),
    "php": ("php", "-r", PHP, "--"),
}


@pytest.fixture(scope="module")
def secret(gateway: Running) -> str:
    _, secret = gateway.create_key(
        *("--tenant", "acme", "--name", "clients", "--environment", "live", "--scope", "*")
    )
    return secret


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: this client was NOT tested")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "undefined function curl_init" in done.stdout + done.stderr:
        pytest.skip("php has no curl extension: this client was NOT tested")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("client", CLIENTS)
def test_client_of_the_documents_works_unchanged(
    client: str, gateway: Running, secret: str
) -> None:
    assert run(*CLIENTS[client], f"{gateway.url}/api/v1/jobs", secret) == "200 200 200"
    mistyped = secret[:-1] + ("1" if secret.endswith("0") else "0")
    refused = run(*CLIENTS[client], f"{gateway.url}/api/v1/jobs", mistyped)
    assert refused == "401 401 401"


def test_curl_sees_every_outcome_it_is_shown(gateway: Running, secret: str) -> None:
    bearer = f"Authorization: Bearer {secret}"
    jobs = f"{gateway.url}/api/v1/jobs"
    assert run(*CURL, jobs, "-H", bearer).endswith(" 200")
    assert run(*CURL, jobs, "-H", bearer, "-H", "Content-Type: application/json").endswith(" 200")
    assert run(*CURL, jobs).endswith(" 401")
    assert run(*CURL, jobs, "-H", f"authorization: bEARER   {secret}").endswith(" 200")
    assert run(*CURL, jobs, "-H", bearer, "-H", bearer).endswith(" 400")
    assert run(*CURL, jobs, "-H", "Authorization: Basic dTpw").endswith(" 401")
    assert run(*CURL, "-X", "PUT", jobs, "-H", bearer).endswith(" 405")
    assert run(*CURL, "--path-as-is", f"{jobs}/../status", "-H", bearer).endswith(" 400")
    assert run(*CURL, f"{gateway.url}/v1/status").endswith(" 200")


def test_curl_is_told_to_continue_only_when_it_may(
    gateway: Running, secret: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = tmp_path_factory.mktemp("body") / "large"
    body.write_bytes(b"x" * 3_000_000)
    post = ["curl", "-sS", "-v", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}"]
    post += ["-H", "Expect: 100-continue", "-X", "POST", "--data-binary", f"@{body}"]
    echo = f"{gateway.url}/v1/echo"
    assert run(*post, echo, "-H", f"Authorization: Bearer {secret}") == "200 3000000"
    assert run(*post, echo) == "401 0", "nothing of the body was asked for"
