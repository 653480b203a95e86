"""The state of an agent: active, suspended, quarantined or offboarded.

It is changed by an operator (or later by a signal), never by content: a deviation reaches no
further than its own task (invariant 11).
"""

from __future__ import annotations

from flyball.audit.record import Kind, Record
from flyball.flow.house import House
from flyball.kernel.errors import Conflict, Denied, NotFound

STATES = ("active", "suspended", "quarantined", "offboarded")


def state_of(house: House, agent: str) -> str:
    """The agent's state; an agent nobody spoke of is active."""
    row = house.store.row("agent", agent)
    return "active" if row is None else str(row["state"])


def require_active(house: House, agent: str) -> None:
    """Refuse what a suspended, quarantined or offboarded agent asks for.

    Raises:
        Denied: the agent is not active.
    """
    state = state_of(house, agent)
    if state != "active":
        raise Denied(f"agent {agent!r} is {state}", code=f"agent_{state}", hint="an operator can resume it")


def change(house: House, agent: str, state: str, *, by: str, reason: str) -> str:
    """Write the new state durably; returns the old one.

    Raises:
        NotFound: no such agent in the bundle and none on record.
        Conflict: an offboarded agent does not come back under its old name.
    """
    if state not in STATES:
        raise ValueError(f"no such agent state: {state}")
    known = agent in house.active.bundle.agents or house.store.row("agent", agent) is not None
    if not known:
        raise NotFound(f"no agent {agent!r} is declared", code="agent_unknown", hint="see `agents:` in the bundle")
    old = state_of(house, agent)
    if old == "offboarded" and state != "offboarded":
        raise Conflict(f"agent {agent!r} is offboarded for good", code="agent_offboarded", hint="declare a new agent")
    now = house.clock.wall_ms()
    unit = house.store.unit()
    unit.save_row("agent", agent, {"state": state, "since_ms": now, "by": by, "reason": reason})
    unit.record(
        Record(Kind.AGENT_STATE, now, None, {"agent": agent, "from": old, "to": state, "by": by, "reason": reason})
    )
    unit.commit()
    return old
