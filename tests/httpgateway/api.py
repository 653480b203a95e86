"""An API that needs a key, echoes it, and misbehaves on demand; over plain HTTP or TLS. It knows what it was asked."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.server import Server as WebSocketServer
from websockets.sync.server import ServerConnection, serve

KEY = "sk_live_0123456789abcdefghij"


@dataclass
class Seen:
    """Requests as they came: method, target, headers in lower case, body."""

    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    open_streams: int = 0


class Api:
    """A running API. `url` is its base; `host` is what its certificate names."""

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self.seen = Seen()
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Quiet."""

            def _answer(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_any(self) -> None:
                """One request."""
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen.requests.append((self.command, self.path, headers, body))
                path = parts.path.removeprefix("/v1")
                if headers.get("authorization") != f"Bearer {KEY}":
                    self._answer(401, b'{"error": "no key"}', Content_Type="application/json")
                elif path.startswith("/orders/"):
                    order = {"id": path.rpartition("/")[2], "amount": 63, "note": f"the key is {KEY}"}
                    self._answer(200, json.dumps(order).encode(), Content_Type="application/json")
                elif path == "/redirect":
                    self._answer(302, b"", Location=parse_qs(parts.query)["to"][0])
                elif path == "/stream":
                    self._stream()
                else:
                    told = {"method": self.command, "headers": headers, "body": body.decode(errors="replace")}
                    self._answer(200, json.dumps(told).encode(), Content_Type="application/json")

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                seen.open_streams += 1
                try:
                    while True:
                        self.wfile.write(b"data: tick\n\n")
                        self.wfile.flush()
                        time.sleep(0.005)
                except OSError:
                    seen.open_streams -= 1

            do_GET = do_POST = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class Sockets:
    """A WebSocket server that echoes, with the key behind each message."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.keys: list[str | None] = []
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = int(bound.getsockname()[1])
        self._server: WebSocketServer = serve(self._echo, sock=bound)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _echo(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.keys.append(connection.request.headers.get("Authorization"))
        try:
            for message in connection:
                if message == "in messages":
                    connection.send(KEY[:9])
                    connection.send(KEY[9:])
                    continue
                # Said in two pieces where it is asked to: frames of one message.
                connection.send([KEY[:9], KEY[9:]] if message == "in pieces" else f"{message!s} {KEY}")
        finally:
            self.closed.set()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()


def certificate(folder: Path, host: str) -> tuple[Path, Path, Path]:
    """An authority and a certificate of it for a host: the authority's file, the chain's and the key's."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def made(subject: str, issuer: str, public: ec.EllipticCurvePublicKey, ca: bool) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        return builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)

    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = made("test root", "test root", root.public_key(), True).sign(root, hashes.SHA256())
    leaf = made(host, "test root", key.public_key(), False)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    files = tuple(folder / one for one in ("api-ca.pem", "api.pem", "api.key"))
    files[0].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(leaf.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[2].write_bytes(pem)
    return files[0], files[1], files[2]
