"""A task opened by another: who may do that, and with how much less.

Authority over a parent is one of two things, and both end with the parent:

- its *holder* shows the parent's own token, with the proof that it is bound to. The child's token is bound
  to the same key or peer;
- its *opener* shows the same identity, and is the same running instance, as when the parent was opened. It
  offers a key of its own for the child.

Whoever shows neither learns nothing of the parent, not even whether there is one. What a child then may do
is its parent's profile, inputs with the parent's values and vouching, its labels, what is left of its budgets
and of its time; never more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flyball.flow.asks import OpenAsk, Proof
from flyball.flow.gate import Caller, caller, task_holder
from flyball.flow.house import House
from flyball.identity import jose, task_token
from flyball.kernel.errors import Conflict, Denied, Gone, InvalidInput
from flyball.kernel.json import Json
from flyball.task.profile import InputType, Profile, canonical_value
from flyball.task.spec import ACTIONS, ALLOT
from flyball.task.task import LIVE, Input, Task, TaskState

MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Parent:
    """The task that delegates, and who was proved to speak for it."""

    task: Task
    caller: Caller


def parent(house: House, proof: Proof, ask: OpenAsk) -> Parent:
    """The parent that an ask names, if this caller speaks for it and it may delegate now.

    Raises:
        Unauthenticated: the proof does not hold.
        Denied: the caller speaks for no such task, or the child would be another profile's, or too deep.
        Gone, Conflict: the parent has ended, or is not open now.
    """
    row = house.tasks.get(ask.parent)
    if _shows_task_token(proof):
        task_holder(house, proof, ask.parent)
        if row is None:
            raise _not_held()
        agent = house.active.bundle.agents.get(row.agent)
        if agent is None:
            raise Denied(f"no agent {row.agent!r} is declared any more", code="agent_unknown")
        who = Caller(row.principal, agent, row.binding, row.instance)
    else:
        who = caller(house, proof)
        if row is None or (row.principal, row.instance) != (who.principal, who.instance):
            raise _not_held()
    if row.state not in LIVE:
        raise Gone("the parent task has ended", code="task_fenced", hint="open a task of its own")
    if row.state is not TaskState.OPEN:
        raise Conflict(f"the parent task is {row.state.value}", code="parent_not_open", hint="open it once it goes on")
    if ask.profile != row.profile:
        raise Denied("a child runs its parent's profile", code="child_profile", hint=f"name {row.profile!r}")
    if _depth(house, row) >= MAX_DEPTH:
        raise Denied("children of children end here", code="child_too_deep", hint=f"at most {MAX_DEPTH} deep")
    return Parent(row, who)


def inputs(above: Parent, profile: Profile, ask: OpenAsk) -> dict[str, Input]:
    """The child's inputs: those that it names, or all, as the parent has them, with the parent's vouching.

    Raises:
        Denied: the profile has changed since the parent was opened.
        InvalidInput: an input that the parent has not, or has with another value; or a voucher.
    """
    if profile.digest != above.task.profile_digest:
        raise Denied(
            f"profile {profile.name!r} has changed since the parent was opened",
            code="profile_changed",
            hint="a child runs exactly what its parent runs; open a new task",
        )
    if ask.vouchers:
        raise InvalidInput("a child's inputs are vouched for as its parent's are", code="child_vouchers")
    held = above.task.inputs
    if not ask.inputs:
        return dict(held)
    for name, value in ask.inputs.items():
        spec = profile.inputs.get(name)
        if spec is None or name not in held or canonical_value(spec.type, value) != held[name].value:
            raise InvalidInput(
                f"`{name[:64]!a}` is no input of the parent's, or has another value there",
                code="child_inputs",
                hint="name some of the parent's inputs with the same values, or none for all of them",
            )
    return {name: held[name] for name in ask.inputs}


def narrowing(profile: Profile, ask: OpenAsk) -> dict[str, Json]:
    """What the child may do less than its parent, as its row and the decision plane have it.

    Raises:
        InvalidInput: an action that the profile does not allow, or an amount that is none.
    """
    found: dict[str, Json] = {}
    if ask.actions is not None:
        known = {rule.action for rule in profile.allow} | {"credential.issue"}
        unknown = sorted(set(ask.actions) - known)
        if unknown:
            raise InvalidInput(
                f"the profile allows no action {unknown[0][:64]!a}",
                code="child_actions",
                hint=f"some of {', '.join(sorted(known))}"[:400],
            )
        found[ACTIONS] = [*sorted(set(ask.actions))]
    if ask.allot is not None:
        found[ALLOT] = _amounts(ask.allot)
    return found


def _amounts(allot: Mapping[str, str]) -> dict[str, Json]:

    amounts: dict[str, Json] = {}
    for name, given in allot.items():
        amount = canonical_value(InputType.DECIMAL, given)
        if amount is None or amount.startswith("-"):
            raise InvalidInput(
                f"`{name[:64]!a}` is allotted no amount", code="allot_malformed", hint='as text: "12.50"'
            )
        amounts[name] = amount
    return amounts


def _depth(house: House, row: Task) -> int:
    depth = 0
    above = row.parent
    while above and depth < MAX_DEPTH:
        depth += 1
        found = house.tasks.get(above)
        above = "" if found is None else found.parent
    return depth


def _shows_task_token(proof: Proof) -> bool:
    scheme, _, raw = proof.authorization.partition(" ")
    if scheme.lower() == "dpop":
        return True
    try:
        return jose.parse(raw).header.get("typ") == task_token.TYP
    except jose.JoseError:
        return False  # whoever authenticates it says what is wrong


def _not_held() -> Denied:
    return Denied(
        "this caller speaks for no such task",
        code="parent_not_held",
        hint="show the parent's own token with its proof, or the identity and instance that opened it",
    )
