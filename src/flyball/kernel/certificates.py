"""A certificate that a server of ours shows, taken anew from its files while it listens."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from flyball.kernel.errors import ConfigError

MAX_BYTES = 1 << 20


class ServedCertificate:
    """The files of a certificate chain and its key, and the TLS of what listens with them.

    Handshakes go by what was read last and could be used; connections that are open go on. Certificate and key change
    together: each reading has a context of its own, and the listener's hands every handshake over to the newest.
    """

    def __init__(self, cert: Path, key: Path | None) -> None:
        """Read the files for the first time.

        Raises:
            ConfigError: `tls` where they cannot be used.
        """
        self._cert, self._key = cert, key
        self._seen, self._problem = self._look(), ""
        try:
            self.context = self._newest = self._read()
        except (OSError, ValueError) as fault:
            raise ConfigError(f"TLS cannot be set up with {_told(cert, fault)}", code="tls") from fault
        self.context.sni_callback = self._hand_over

    def renew(self) -> tuple[bool, str]:
        """Look at the files again: whether they are others than at the look before, and why they cannot be used (what
        was in force stays) or empty. For one thread; reads files, never raises."""
        seen = self._look()
        if seen == self._seen:
            return False, self._problem
        self._seen = seen
        try:
            self._newest = self._read()
            self._problem = ""
        except (OSError, ValueError) as fault:
            self._problem = _told(self._cert, fault)
        return True, self._problem

    def _hand_over(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._newest

    def _look(self) -> str:
        """Tells the files' contents, or why they cannot be read, from any other."""
        digest = hashlib.sha256()
        for path in (self._cert, self._key):
            try:
                content = b"" if path is None else _content(path)
            except OSError as fault:
                content = str(fault).encode()
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A key that wants a passphrase is refused: nobody is there to be asked. One of another certificate is, too.
        context.load_cert_chain(self._cert, self._key, password="")
        return context


def _told(cert: Path, fault: Exception) -> str:
    return f"{cert}: {getattr(fault, 'strerror', None) or fault}"


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)
