"""What a caller showed, taken off the request: headers as they came, the URL a proof must name, the peer."""

from __future__ import annotations

from starlette.requests import Request

from flyball.flow.asks import Proof
from flyball.kernel.errors import Unauthenticated


def proof_of(request: Request, public_url: str) -> Proof:
    """The proof of one request.

    Raises:
        Unauthenticated: `authorization_repeated`: two readers could take two different ones.
    """
    uid = request.scope.get("state", {}).get("peer_uid")
    return Proof(
        authorization=authorization_of(request),
        dpop=tuple(request.headers.getlist("dpop")),
        method=request.method,
        url=own_url(request, public_url),
        peer_uid=uid if isinstance(uid, int) else None,
    )


def authorization_of(request: Request) -> str:
    """The one `Authorization` header, or empty.

    Raises:
        Unauthenticated: `authorization_repeated`.
    """
    shown = request.headers.getlist("authorization")
    if len(shown) > 1:
        raise Unauthenticated("more than one Authorization header", code="authorization_repeated")
    return shown[0] if shown else ""


def own_url(request: Request, public_url: str) -> str:
    """The URL of this request as its caller should have seen it, without query.

    With a public URL in the configuration it is that one's origin. Without, the `Host` header
    counts only where it names this very listener: a proof made for another host must not become
    good here because somebody wrote that host into a header.
    """
    raw = request.scope.get("raw_path", b"/")
    path = (raw if isinstance(raw, bytes) else b"/").decode("latin-1").partition("?")[0]
    if public_url:
        return public_url + path
    names = _own_names(request)
    host = request.headers.get("host", "").lower()
    return f"{request.scope.get('scheme', 'http')}://{host if host in names else names[0]}{path}"


def _own_names(request: Request) -> tuple[str, ...]:
    host, port = request.scope.get("server") or ("localhost", None)
    if port is None:
        return ("localhost",)  # a Unix socket has no other name in a URL
    shown = f"[{host}]" if ":" in host else host
    names = [f"{shown}:{port}"]
    if host == "::1" or host.startswith("127."):
        names.append(f"localhost:{port}")
    if port == (443 if request.scope.get("scheme") == "https" else 80):
        names += [name.rpartition(":")[0] for name in tuple(names)]
    return tuple(names)
