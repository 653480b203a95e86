"""The client's small parts: addresses, problem documents, values, and what it imports."""

import os
import subprocess
import sys
from decimal import Decimal

import pytest

import flyball_sdk
from flyball.demo.postgres import free_port
from flyball_sdk import _json
from flyball_sdk._session import Answer, problem
from flyball_sdk._settings import endpoint


def test_nobody_answers():
    """An address without a server is `Unavailable`."""
    with pytest.raises(flyball_sdk.Unavailable):
        flyball_sdk.task("p", addr=f"http://127.0.0.1:{free_port()}", identity="x").open()


@pytest.mark.parametrize(
    ("address", "base", "uds"),
    [
        ("http://127.0.0.1:7611", "http://127.0.0.1:7611", ""),
        ("http://localhost:1/", "http://localhost:1", ""),
        ("http://[::1]:1", "http://[::1]:1", ""),
        ("https://flyball.example/base/", "https://flyball.example/base", ""),
        ("unix:/run/f.sock", "http://localhost", "/run/f.sock"),
        ("unix:///run/f.sock", "http://localhost", "/run/f.sock"),
    ],
)
def test_addresses(address, base, uds):
    """The three kinds of address."""
    assert (endpoint(address).base, endpoint(address).uds) == (base, uds)


@pytest.mark.parametrize(
    "address",
    [
        "http://flyball.example",
        "http://127.0.0.1.evil.example",
        "http://u@127.0.0.1",
        "ftp://127.0.0.1",
        "127.0.0.1:7611",
        "unix:relative",
        "http://[::1",
        "http://127.0.0.1:99999",
        "https://x?y",
        "",
    ],
)
def test_addresses_that_are_refused(address):
    """Clear text to another machine, and what is no address."""
    with pytest.raises(flyball_sdk.ConfigError):
        endpoint(address)


@pytest.mark.parametrize(
    ("status", "content", "kind", "code"),
    [
        (400, b'{"type":"urn:flyball:error:invalid_input","detail":"d","hint":"h"}', "InvalidRequest", "invalid_input"),
        (401, b'{"type":"urn:flyball:error:token_expired"}', "Unauthenticated", "token_expired"),
        (403, b"{}", "Refused", "http_403"),
        (404, b"[]", "InvalidRequest", "http_404"),
        (409, b"", "Refused", "http_409"),
        (410, b"<html>", "TaskLost", "http_410"),
        (418, b'{"code":"teapot"}', "InvalidRequest", "teapot"),
        (429, b"{}", "Unavailable", "http_429"),
        (503, b'{"type":5}', "Unavailable", "http_503"),
        (302, b"[" * 100_000, "InvalidRequest", "http_302"),
    ],
)
def test_problems(status, content, kind, code):
    """Each status becomes one kind of error, with the server's code where it gave one."""
    error = problem(Answer(status, content))
    assert (type(error).__name__, error.code, error.status) == (kind, code, status)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), object(), {1: 2}, b"x"])
def test_values_that_cannot_be_sent(value):
    """What has no JSON is refused here, not guessed."""
    with pytest.raises((TypeError, ValueError)):
        _json.dumps({"a": value})


def test_decimals_keep_their_digits():
    """Money goes out with its own digits, never as a float's."""
    sent = _json.dumps({"a": Decimal("0.10"), "b": Decimal("1E+3"), "c": [True, None, 1, 2.5, "ü"]})
    assert sent == b'{"a":0.10,"b":1000,"c":[true,null,1,2.5,"\\u00fc"]}'


def test_the_client_imports_nothing_of_the_server():
    """The wheel runs inside other people's processes: httpx and cryptography, nothing of `flyball`."""
    program = (
        "import sys, flyball_sdk\n"
        "roots = {name.split('.')[0] for name in sys.modules}\n"
        "assert not roots & {'flyball', 'joserfc', 'pydantic', 'fastapi', 'psycopg', 'yaml'}, roots\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
