"""A call that waits for a person, as the stateless revision says it: `input_required`, with a page to open.

The client is asked to show its user a URL (elicitation, url mode), and gets a state to bring along when it makes the
same call again. Nothing of its answer is looked at: "accept" means that somebody will open the page, no more. The call
is decided anew, and allowed once an operator has answered on Flyball's own surface.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Final

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import PARAMS, Frame, Malformed, Object
from flyball.enforcement.mcp.results import DECISION, Refusal

METHODS: Final = frozenset({"tools/call", "resources/read", "prompts/get"})
LASTS_S: Final = 3600
_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
_OURS: Final = "flyball.1."
_KEY: Final = "flyball.approval"
_BROUGHT: Final = ("requestState", "inputResponses")


class Asking:
    """Asks through a client that can open pages. `url` holds `{reference}`; empty: nobody is asked this way.

    A state holds for this process, the task, the very call, and an hour.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._key = secrets.token_bytes(32)

    def question(self, frame: Frame, refusal: Refusal, task: str) -> bytes | None:
        """The answer that asks; None where this client, or this method, cannot be asked, or was already."""
        able = frame.meta.get(_CAPABILITIES)
        elicitation = able.get("elicitation") if isinstance(able, dict) else None
        if not self._url or frame.method not in METHODS or not isinstance(elicitation, dict):
            return None
        if refusal.effect != "require_approval" or "url" not in elicitation:
            return None
        until = int(time.time()) + LASTS_S
        asked: Object = {
            "mode": "url",
            "message": f"A call waits for a person, under the reference {refusal.reference}. See who may answer it.",
            "url": self._url.replace("{reference}", refusal.reference),
        }
        result: Object = {
            "resultType": "input_required",
            "inputRequests": {_KEY: {"method": "elicitation/create", "params": asked}},
            "requestState": f"{_OURS}{until}.{self._seal(frame, task, until)}",
            "_meta": {
                DECISION: {
                    "effect": refusal.effect,
                    "reason": refusal.reason,
                    "decision": refusal.decision,
                    "reference": refusal.reference,
                }
            },
        }
        return frames.response(frame.id, result)

    def returned(self, frame: Frame, task: str) -> Frame | None:
        """The call without what we gave it to bring along, where it brings that; None where it brings nothing of ours.
        A server's own state is not touched.

        Raises:
            Malformed: it brings a state of ours that is not for this task and this call, or has run out.
        """
        state = frame.params.get("requestState")
        if not isinstance(state, str) or not state.startswith(_OURS):
            return None
        until, _, seal = state[len(_OURS) :].partition(".")
        good = until.isascii() and until.isdigit() and len(until) <= 12 and int(until) >= time.time()
        if not good or not hmac.compare_digest(seal.encode(), self._seal(frame, task, int(until)).encode()):
            raise Malformed("`requestState` is not for this call, or has run out: make the call anew", PARAMS, frame.id)
        params = {name: value for name, value in frame.params.items() if name not in _BROUGHT}
        return frames.remade(frame, {**frame.body, "params": params})

    def _seal(self, frame: Frame, task: str, until: int) -> str:
        kept = {name: value for name, value in frame.params.items() if name not in (*_BROUGHT, "_meta")}
        call = frames.dumps({"method": frame.method, "params": frames.ordered(kept)})
        told = b"\0".join((task.encode(), str(until).encode(), hashlib.sha256(call).digest()))
        return hmac.new(self._key, told, hashlib.sha256).hexdigest()
