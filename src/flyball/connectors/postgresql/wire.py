"""Just enough of PostgreSQL's protocol (version 3) to log in, be refused, and ask a question.

libpq gives a failed login as a sentence, not as an SQLSTATE, and cannot pin a certificate. A probe
needs both: it must tell "this password is refused" from "too many connections", and it must know
that the server that refused is the one that was meant.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from types import TracebackType

from flyball.connectors.postgresql.config import Door
from flyball.connectors.postgresql.scram import Exchange, ScramError
from flyball.plugin.v1 import Secret

AUTHENTICATION = frozenset({"28P01", "28000"})
"""The SQLSTATEs with which a server refuses somebody's authentication, and not merely for now."""

_PROTOCOL = 196608
_SSL_REQUEST = 80877103
_MOST = 1 << 20


class WireError(Exception):
    """The door did not answer as a PostgreSQL server would, or not in time. The text holds no secret.

    `sqlstate` is the server's own word where it gave one, else empty.
    """

    def __init__(self, why: str, sqlstate: str = "") -> None:
        super().__init__(why)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Refusal:
    """An ErrorResponse: its SQLSTATE and what it said."""

    sqlstate: str
    message: str


class Wire:
    """One connection to one door. Every wait is bounded by the same deadline."""

    def __init__(self, door: Door, timeout_s: float) -> None:
        self._door = door
        self._deadline = time.monotonic() + timeout_s
        self._buffer = b""
        self._socket = self._open()
        try:
            if door.sslmode != "disable":
                self._socket = self._tls(self._socket)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye and close."""
        try:
            self._socket.sendall(b"X\x00\x00\x00\x04")
        except OSError:
            pass
        finally:
            self._socket.close()

    def login(self, user: str, password: Secret, database: str) -> Refusal | None:
        """Log in; None when the server is ready for queries, else how it refused.

        Raises:
            WireError: no answer in time, or none that can be understood.
        """
        pairs = (("user", user), ("database", database), ("application_name", "flyball-probe"))
        body = b"".join(f"{key}\x00{value}\x00".encode() for key, value in pairs) + b"\x00"
        self._send_raw(struct.pack("!II", len(body) + 8, _PROTOCOL) + body)
        exchange = Exchange(password)
        proved = False
        while True:
            kind, payload = self._message()
            if kind == b"E":
                return _refusal(payload)
            if kind == b"Z":
                if not proved:
                    raise WireError("the door let us in without asking for a password")
                return None
            if kind == b"R":
                proved = self._authenticate(payload, exchange) or proved

    def _authenticate(self, payload: bytes, exchange: Exchange) -> bool:
        (step,) = struct.unpack("!I", payload[:4])
        rest = payload[4:]
        try:
            if step == 10:
                if exchange.mechanism.encode() not in rest.split(b"\x00"):
                    raise WireError("the door does not offer SCRAM-SHA-256")
                first = exchange.first()
                self._send(b"p", exchange.mechanism.encode() + b"\x00" + struct.pack("!I", len(first)) + first)
            elif step == 11:
                self._send(b"p", exchange.final(rest))
            elif step == 12:
                exchange.check(rest)
                return True
            elif step != 0:
                raise WireError(f"the door asks for authentication method {step}, which is not SCRAM")
        except ScramError as error:
            raise WireError(f"SCRAM: {error}") from None
        return False

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of one simple query, as text.

        Raises:
            WireError: it failed, with its SQLSTATE, or did not answer in time.
        """
        self._send(b"Q", sql.encode() + b"\x00")
        rows: list[tuple[str | None, ...]] = []
        failed = None
        while True:
            kind, payload = self._message()
            if kind == b"D":
                rows.append(_row(payload))
            elif kind == b"E":
                refusal = _refusal(payload)
                failed = WireError(f"SQLSTATE {refusal.sqlstate}: {refusal.message}", refusal.sqlstate)
                if payload[:1] == b"S" and b"FATAL" in payload[:8]:
                    raise failed
            elif kind == b"Z":
                if failed is not None:
                    raise failed
                return rows

    # -- bytes --------------------------------------------------------------------------------

    def _open(self) -> socket.socket:
        door = self._door
        try:
            if door.host.startswith("/"):
                unix = socket.socket(socket.AF_UNIX)
                unix.settimeout(self._left())
                unix.connect(f"{door.host}/.s.PGSQL.{door.port}")
                return unix
            return socket.create_connection((door.host, door.port), timeout=self._left())
        except OSError as error:
            raise WireError(f"cannot connect: {error.strerror or type(error).__name__}") from None

    def _tls(self, plain: socket.socket) -> ssl.SSLSocket:
        door = self._door
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = door.sslmode == "verify-full"
        if door.sslmode == "require":
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(door.sslrootcert)
        try:
            plain.settimeout(self._left())
            plain.sendall(struct.pack("!II", 8, _SSL_REQUEST))
            if plain.recv(1) != b"S":
                raise WireError("the door does not speak TLS")
            wrapped = context.wrap_socket(plain, server_hostname=door.host)
        except ssl.SSLError as error:
            raise WireError(f"TLS: {error.reason or 'failed'}") from None
        except OSError as error:
            raise WireError(f"TLS: {error.strerror or type(error).__name__}") from None
        if door.certificate_sha256:
            shown = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
            if shown != door.certificate_sha256:
                wrapped.close()
                raise WireError("the server shows another certificate than the pinned one")
        return wrapped

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise WireError("no answer in time")
        return left

    def _send(self, kind: bytes, payload: bytes) -> None:
        self._send_raw(kind + struct.pack("!I", len(payload) + 4) + payload)

    def _send_raw(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(data)
        except OSError as error:
            raise WireError(f"the connection broke: {error.strerror or type(error).__name__}") from None

    def _message(self) -> tuple[bytes, bytes]:
        head = self._read(5)
        (length,) = struct.unpack("!I", head[1:])
        if not 4 <= length <= _MOST:
            raise WireError("the door does not speak PostgreSQL's protocol")
        return head[:1], self._read(length - 4)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                self._socket.settimeout(self._left())
                data = self._socket.recv(65536)
            except OSError as error:
                raise WireError(f"no answer: {error.strerror or type(error).__name__}") from None
            if not data:
                raise WireError("the door closed the connection")
            self._buffer += data
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found


def _refusal(payload: bytes) -> Refusal:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in payload.split(b"\x00") if part}
    said = "".join(c if c.isprintable() else " " for c in fields.get(b"M", ""))[:160]
    return Refusal(fields.get(b"C", "")[:5], said)


def _row(payload: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack("!H", payload[:2])
    at = 2
    values: list[str | None] = []
    for _ in range(count):
        (length,) = struct.unpack("!i", payload[at : at + 4])
        at += 4
        if length < 0:
            values.append(None)
            continue
        values.append(payload[at : at + length].decode(errors="replace"))
        at += length
    return tuple(values)
