"""The only routes that anybody may call. api/open_routes.txt lists them; a test holds the two together."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from flyball.edges.http import models
from flyball.edges.http.deps import HouseDep, StrictRoute, answer
from flyball.flow import operate

router = APIRouter(route_class=StrictRoute, tags=["open"])


@router.get("/v1/health", response_model=models.Health, summary="Whether the process serves requests")
def health() -> Response:
    """Says nothing else; operators ask `/v1/status`."""
    return answer({"status": "ok"})


@router.get("/.well-known/flyball", response_model=models.Discovery, summary="Issuer, public keys, endpoints")
def discovery(house: HouseDep) -> Response:
    """What a client needs to speak to us and to verify what we signed."""
    return answer(operate.discovery(house))
