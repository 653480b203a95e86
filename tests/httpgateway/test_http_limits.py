"""What docs/limitations.md says that the HTTP gateway does not see, where it was not tried by hand."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.httpgateway.api import KEY
from tests.httpgateway.kit import GatewayServer
from tests.wait import until
from websockets.sync.client import connect


def test_messages_of_a_websocket_are_not_decided(server: GatewayServer) -> None:
    """One decision, for the handshake. What is said in it passes, an amount beyond every bound or what another task
    knows; compression is not negotiated. The key is masked in each message, also where the API cuts it over two frames
    of one; over two messages the client has it."""
    with server.task() as task:
        ticket = task.connect("sockets")
        url = ticket.base_url.replace("http://", "ws://") + "/echo"
        with connect(url, additional_headers=ticket.headers(), proxy=None) as socket:
            assert socket.response is not None
            assert "Sec-WebSocket-Extensions" not in socket.response.headers
            for said in (json.dumps({"order_id": "X-1", "amount": 500}), "what another task was told"):
                socket.send(said)
                assert socket.recv(timeout=10) == f"{said} {'*' * len(KEY)}"
            socket.send("in pieces")
            assert socket.recv(timeout=10) == "*" * len(KEY)
            socket.send("in messages")
            assert [socket.recv(timeout=10), socket.recv(timeout=10)] == [KEY[:9], KEY[9:]]
        calls = server.operator.get(f"/v1/tasks/{task.id}/story").json()["calls"]
        assert [one["action"] for one in calls if one["pep"] == "http-gateway"] == ["http.get"]
        assert "another task" not in str(server.records(task.id))


def test_a_receipt_says_that_the_key_stays(server: GatewayServer) -> None:
    """The lease's use ends with the task; the key does not, and its receipt says so."""
    with server.task() as task:
        task.connect("crm")

    def named() -> list[str]:
        """The receipts that there are."""
        return re.findall(r'"receipt": "(rcp_\w+)"', server.flyball("receipts", "list", "--json"))

    until(named, 20, "there is a receipt")
    shown = server.flyball("receipts", "show", named()[-1])
    assert "the API's own key stays valid" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("host", "believed"), [("localhost", True), ("below.localhost", True), ("evil.example", False)]
)
def test_the_authority_is_good_for_its_hosts_and_what_is_below(
    server: GatewayServer, tmp_path: Path, host: str, believed: bool
) -> None:
    """Who has the interception authority's key can make a certificate for a host of the bundle, or below one, that
    clients believe; for others they do not."""
    with server.task() as task:
        authority = x509.load_pem_x509_certificate(str(task.connect("secure").connection["ca_pem"]).encode())
    key = serialization.load_pem_private_key((server.state / "keys" / "http-authority.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a leaf")]))
    made = made.issuer_name(authority.subject).public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1))
    leaf = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    files = {"ca.pem": authority, "leaf.pem": leaf.sign(key, hashes.SHA256())}
    for name, one in files.items():
        (tmp_path / name).write_bytes(one.public_bytes(serialization.Encoding.PEM))
    words = ["openssl", "verify", "-verify_hostname", host, "-CAfile", "ca.pem", "leaf.pem"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == believed, done.stderr
