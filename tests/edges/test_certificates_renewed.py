"""Certificates that are renewed while a server listens: the control API's, the decision plane's, and those of Envoy's
door and the HTTP gateway."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.certified import certificate, der, pem, shown
from tests.forked import ForkedServer, running
from tests.wait import until

from flyball.assembly import certificates, config
from flyball.assembly.server import Server, _reload
from flyball.demo.postgres import free_port


class TlsServer(ForkedServer):
    """One that speaks TLS wherever it listens, by the same files; operators reach it by a socket, too."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.files = home / "tls"
        self.swap("0")
        self.ext_authz, self.http = free_port(), free_port()
        self.issue()
        own = f"tls_cert: {self.files}/server.pem\n  tls_key: {self.files}/server.key\n"
        asked = f"client_ca: {self.files}/ca.pem\n"
        text = self.config.read_text().replace("decision:\n", f"  unix: {home}/c.sock\n  {own}decision:\n")
        self.config.write_text(
            f"{text}  {own}  {asked}"
            f"ext_authz:\n  listen: 127.0.0.1:{self.ext_authz}\n  {own}  {asked}"
            f"http_gateway:\n  listen: 127.0.0.1:{self.http}\n  {own}"
        )

    def issue(self) -> None:
        """New files: another authority, a certificate of it for the server, and one for a client (`client`)."""
        authority = certificate("ca", [], None)
        self.newest = certificate("server", [], authority)
        pem(self.files, "client", certificate("client", ["spiffe://dev.test/client"], authority))
        pem(self.files, "server", self.newest)
        pem(self.files, "ca", authority)

    def swap(self, name: str) -> None:
        """Another folder, empty, in the place of the files', as Kubernetes does."""
        folder, link = self.home / f"tls-{name}", self.home / "tls-next"
        folder.mkdir()
        link.symlink_to(folder)
        link.replace(self.files)

    def client(self) -> ssl.SSLContext:
        """A client with the certificate that was issued last, whoever the server is."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(self.files / "client.pem", self.files / "client.key")
        return context

    @property
    def ports(self) -> dict[str, int]:
        """Where it listens by TLS."""
        return {"control": self.port, "decision": self.decision_port, "ext_authz": self.ext_authz, "http": self.http}

    @property
    def new(self) -> bool:
        """Whether the certificate that was issued last is shown everywhere."""
        return all(shown(port) == der(self.newest) for port in self.ports.values())

    @property
    def operator(self) -> httpx.Client:
        """By the socket."""
        transport = httpx.HTTPTransport(uds=str(self.home / "c.sock"))
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        return httpx.Client(transport=transport, base_url="http://operator", headers=headers)

    def _started(self) -> bool:
        with contextlib.suppress(httpx.HTTPError, OSError):
            return self.operator.get("/v1/health").status_code == 200
        return not self.running

    def unusable(self) -> dict[str, str]:
        """What status says of certificates: place and problem."""
        status = self.status()
        found = status["certificates"]
        assert isinstance(found, dict)
        assert status["ok"] is not bool(found)
        return found

    def look(self) -> None:
        """Have it look now."""
        os.kill(self.pid, signal.SIGHUP)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """It runs through all tests here; each has its own certificates."""
    with running(TlsServer(tmp_path_factory.mktemp("renewed"))) as made:
        yield made


def health(port: int, context: ssl.SSLContext) -> int:
    """What the decision plane answers to a client on a connection of its own; 0 where TLS refuses it."""
    try:
        with httpx.Client(verify=context, timeout=10) as client:
            return client.get(f"https://127.0.0.1:{port}/health").status_code
    except httpx.TransportError:
        return 0


def test_new_handshakes_go_by_new_files(server: TlsServer) -> None:
    """At SIGHUP, in all places; connections that are open go on as they were."""
    paths = {"control": "/v1/health", "decision": "/health"}
    kept = {}
    for name, path in paths.items():
        kept[name] = http.client.HTTPSConnection("127.0.0.1", server.ports[name], context=server.client(), timeout=10)
        kept[name].request("GET", path)
        assert kept[name].getresponse().read()
    sockets = {name: connection.sock for name, connection in kept.items()}
    server.issue()
    server.look()
    until(lambda: server.new, 10, "the new certificate is shown everywhere")
    for name, path in paths.items():
        kept[name].request("GET", path)
        assert kept[name].getresponse().status == 200
        assert kept[name].sock is sockets[name], "it was opened anew"
        kept[name].close()
    named = ssl.create_default_context(cafile=str(server.files / "ca.pem"))
    with httpx.Client(verify=named, timeout=10) as client:
        assert client.get(f"https://localhost:{server.port}/v1/health").status_code == 200
    assert server.unusable() == {}


def test_sighup_does_not_wait_for_the_next_look(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an hour between two looks, new certificates are in force at once."""
    made = TlsServer(tmp_path_factory.mktemp("sighup"))
    monkeypatch.setattr(certificates, "EVERY_S", 3600.0)
    server = Server(config.load(made.config, {}), env={})
    try:
        server.start()
        made.issue()
        _reload(server)
        until(lambda: made.new, 10, "the new certificate is shown everywhere")
    finally:
        server.stop()


def test_they_are_taken_without_a_signal(server: TlsServer) -> None:
    """Also where a whole folder is put in the place of another."""
    server.issue()
    until(lambda: server.new, 20, "the new certificate is shown everywhere")
    server.swap("1")
    server.issue()
    until(lambda: server.new, 20, "the other folder's certificate is shown everywhere")


def test_authorities_change_with_them(server: TlsServer) -> None:
    """A client of an authority that is gone is refused, and one of the new authority is not."""
    before = server.client()
    assert health(server.decision_port, before) == 200
    server.issue()
    server.look()
    until(lambda: server.new, 10, "the new certificate is shown everywhere")
    assert health(server.decision_port, before) == 0
    assert health(server.decision_port, server.client()) == 200


def halved(path: Path) -> None:
    """As while it is being written."""
    text = path.read_text()
    path.write_text(text[: len(text) // 2])


def other(path: Path) -> None:
    """A certificate or a key that is good, and not that of the other file."""
    pem(path.parent, "other", certificate("other", [], certificate("ca", [], None)))
    path.write_bytes((path.parent / f"other{path.suffix}").read_bytes())


@pytest.mark.parametrize(
    ("file", "spoil", "everywhere"),
    [
        ("server.pem", halved, True),
        ("server.key", halved, True),
        ("server.pem", other, True),
        ("server.key", other, True),
        ("server.key", Path.unlink, True),
        ("ca.pem", halved, False),
        ("ca.pem", lambda path: path.write_text(""), False),
        ("ca.pem", Path.unlink, False),
    ],
)
def test_files_that_cannot_be_used(
    server: TlsServer, file: str, spoil: Callable[[Path], object], everywhere: bool
) -> None:
    """Those before stay in force, the authorities among them: each place is logged once and told by `status`, until
    they can be used."""
    server.look()
    until(lambda: server.new and not server.unusable(), 20, "all is well before")
    path, known = server.files / file, server.client()
    content, logged = path.read_bytes(), len(server.log())
    spoil(path)
    server.look()
    names = ("control", "decision", "ext_authz", "http") if everywhere else ("decision", "ext_authz")
    places = {f"127.0.0.1:{server.ports[name]}" for name in names}
    until(lambda: {place.removeprefix("https://") for place in server.unusable()} == places, 10, "status tells")
    assert server.new
    stranger = certificate("stranger", ["spiffe://dev.test/client"], certificate("strangers", [], None))
    unknown = server.client()
    unknown.load_cert_chain(*pem(server.home, "stranger", stranger))
    assert (health(server.decision_port, known), health(server.decision_port, unknown)) == (200, 0)
    path.write_bytes(content)
    server.look()
    until(lambda: not server.unusable(), 10, "status is clear")
    assert server.new
    told = server.log()[logged:]
    assert told.count("certificates cannot be used") == told.count("new certificates are in force") == len(places)
