"""What a bundle promises beside what it can keep.

1. A credential gives no more than `allow` permits: each declared grant must be covered by a rule.
2. A limit that a grant cannot express (an amount, a budget) is kept by nobody once the agent holds
   the credential. Such a rule says `cooperative: true`, or the bundle is refused.
3. A rule that only the agent itself asks about rests on its cooperation, and is listed as such.
4. A bound that the agent chooses for itself is none.
5. Times that make no sense, rules that never decide, names that nobody uses.

What it promises of provenance is held to the same in `lint_intent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle, Grant, Pep
from flyball.policy.diagnostics import Problems
from flyball.policy.lint_intent import lint_intent
from flyball.policy.words import limits_of
from flyball.task.profile import MAX_HEARTBEAT_MS, MAX_TTL_MS, MIN_HEARTBEAT_MS, Profile
from flyball.task.rules import FromInput, Resource, Rule

_LONG_TTL_MS = 24 * 3_600_000
_LONG_HEARTBEAT_MS = 5 * 60_000
_CHAT_MS = 3_600_000
_MANY = 3


@dataclass(frozen=True, slots=True)
class Cooperative:
    """One thing that holds only as long as the agent plays by it. `rule` is empty where it is the whole profile's."""

    profile: str
    rule: str
    action: str
    limit: str
    because: str

    def as_json(self) -> dict[str, Json]:
        """The same as a JSON object."""
        return {"rule": self.rule, "action": self.action, "limit": self.limit, "because": self.because}


def lint(bundle: Bundle, problems: Problems) -> Mapping[str, tuple[Cooperative, ...]]:
    """Note what does not hold; answer, for each profile, what rests on the agent's cooperation."""
    found: dict[str, tuple[Cooperative, ...]] = {}
    for name, profile in bundle.profiles.items():
        _times(bundle, profile, problems)
        _standing(bundle, profile, problems)
        _grants_within_allow(bundle, profile, problems)
        _rules_that_never_decide(bundle, profile, problems)
        _own_bounds(bundle, profile, problems)
        lint_intent(bundle, profile, problems)
        found[name] = (*_cooperative_rules(bundle, profile, problems), *_cooperative_profile(bundle, profile))
    _unused(bundle, problems)
    _permits_without_effect(bundle, problems)
    return found


def grants_of(bundle: Bundle, profile: Profile, *, released: bool = False) -> Iterator[tuple[str, Grant]]:
    """Each grant that a task of the profile can come to use, with the credential's name. With `released` only those
    that the agent holds itself, with no gateway before them."""
    for credential in profile.credentials.values():
        target = bundle.targets.get(credential.target)
        access = target.accesses.get(credential.access) if target else None
        if access is None or (released and access.delivery != "released"):
            continue
        for grant in access.grants:
            yield credential.name, grant


def _covered(grant: Grant, rules: tuple[Rule, ...]) -> bool:
    """Whether the rules together allow all that the grant gives."""
    columns: set[str] = set()
    for rule in rules:
        if rule.action != grant.action:
            continue
        for resource in rule.on or (Resource("*"),):
            if Resource(resource.id).covers(Resource(grant.resource.id)):
                if not resource.columns:
                    return True
                columns |= set(resource.columns)
    return bool(grant.resource.columns) and set(grant.resource.columns) <= columns


def _grants_within_allow(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    for name, grant in grants_of(bundle, profile):
        if not _covered(grant, profile.allow):
            credential = profile.credentials[name]
            problems.error(
                "grant_wider_than_allow",
                bundle.place(f"credential:{profile.name}/{name}"),
                f"credential `{name}` grants {grant.action} on {grant.resource}, which no rule of `allow` permits",
                f"narrow access `{credential.access}` of target `{credential.target}` "
                f"({grant.mark.file}:{grant.mark.line}), or allow it here",
                len(name),
            )
    for name, credential in profile.credentials.items():
        target = bundle.targets.get(credential.target)
        access = target.accesses.get(credential.access) if target else None
        if access is not None and not access.grants:
            problems.error(
                "grants_undeclared",
                bundle.place(f"access:{credential.target}/{credential.access}"),
                f"access `{credential.access}` declares no grants, so nobody can tell whether `{name}` is too wide",
                "list under `grants` what the target gives",
            )


def _meets(grant: Grant, rule: Rule) -> bool:
    return grant.action == rule.action and (
        not rule.on or any(Resource(one.id).meets(Resource(grant.resource.id)) for one in rule.on)
    )


def _cooperative_rules(bundle: Bundle, profile: Profile, problems: Problems) -> Iterator[Cooperative]:
    grants = tuple(grants_of(bundle, profile, released=True))
    for rule in profile.allow:
        released = next((name for name, grant in grants if _meets(grant, rule)), None)
        asking = [pep for pep in bundle.peps.values() if pep.may_ask(rule.action)]
        place = bundle.place(f"rule:{rule.id}")
        if released is not None and rule.limited:
            if not rule.cooperative:
                problems.error(
                    "limit_not_enforced",
                    place,
                    f"the agent holds credential `{released}` itself, whose grants cannot express this rule's limit "
                    f"({limits_of(rule)})",
                    "mark the rule `cooperative: true`, or take the limit or the grant away",
                )
            yield Cooperative(
                profile.name,
                rule.id,
                rule.action,
                limits_of(rule),
                f"credential `{released}` is released to the agent, and its grants cannot express this limit",
            )
        elif released is None and asking and all(pep.is_agent or pep.cooperative for pep in asking):
            names = ", ".join(f"`{pep.name}`" for pep in asking)
            own = all(pep.is_agent for pep in asking)
            because = f"only the agent's own enforcement point {names} asks"
            if not own:
                because = f"only {names} asks, which the agent could go around"
            limit = limits_of(rule) or "that it is asked about at all"
            yield Cooperative(profile.name, rule.id, rule.action, limit, because)
        elif (once := _longest_stream(asking)) is not None:
            longest, name = once
            limit = f"that a fence ends what is already open: a stream may go on for {longest} ms"
            yield Cooperative(profile.name, rule.id, rule.action, limit, f"`{name}` asks once a request")
        elif rule.cooperative:
            problems.warning(
                "cooperative_without_need",
                bundle.place(f"rule:{rule.id}/cooperative"),
                "nothing here rests on cooperation",
                "leave `cooperative` out",
            )
        if released is None and not asking:
            problems.warning(
                "unreachable_rule",
                bundle.place(f"rule:{rule.id}/action"),
                f"no enforcement point may ask for `{rule.action}` and no credential grants it",
                "register it with an enforcement point under `peps`",
            )


def _longest_stream(asking: list[Pep]) -> tuple[int, str] | None:
    """How long a stream of an action may outlive its fence, where an enforcement point asks once a request; which."""
    return max(((pep.max_stream_ms, pep.name) for pep in asking if pep.max_stream_ms is not None), default=None)


def _cooperative_profile(bundle: Bundle, profile: Profile) -> Iterator[Cooperative]:
    names = sorted({name for name, _ in grants_of(bundle, profile, released=True)})
    if not names:
        return
    because = f"what the agent does with credential `{names[0]}` at the target is not counted here"
    if profile.budget_calls is not None:
        yield Cooperative(profile.name, "", "", f"calls {profile.budget_calls}", because)
    if profile.checks_per_second is not None:
        yield Cooperative(profile.name, "", "", f"{profile.checks_per_second} checks per second", because)


def _times(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    ttl_at, beat_at = bundle.place(f"profile:{profile.name}/ttl"), bundle.place(f"profile:{profile.name}/heartbeat")
    if profile.ttl_ms > MAX_TTL_MS:
        problems.error("ttl_too_long", ttl_at, "a task may live 7 days at most", "open a new task instead")
    elif profile.ttl_ms > _LONG_TTL_MS:
        problems.warning("ttl_long", ttl_at, "a task of more than a day is a standing privilege")
    if profile.heartbeat_ms > profile.ttl_ms:
        problems.error("heartbeat_past_ttl", beat_at, "the heartbeat is longer than the task lives")
    elif not MIN_HEARTBEAT_MS <= profile.heartbeat_ms <= MAX_HEARTBEAT_MS:
        problems.error("heartbeat_out_of_bounds", beat_at, "a heartbeat is between 500ms and 1h")
    elif profile.heartbeat_ms > _LONG_HEARTBEAT_MS:
        problems.warning("heartbeat_long", beat_at, "a dead agent keeps its privilege for this long")
    for name, credential in profile.credentials.items():
        if credential.ttl_ms > profile.ttl_ms:
            problems.error(
                "credential_past_ttl",
                bundle.place(f"credential:{profile.name}/{name}/ttl"),
                f"credential `{name}` would outlive the task",
                "give it at most the task's ttl",
            )


def _standing(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    """A task as long as a chat, with every tool there is and no bound on what they do, is no task."""
    if profile.ttl_ms < _CHAT_MS:
        return
    allowed: dict[str, list[Rule]] = {}
    for rule in profile.allow:
        allowed.setdefault(rule.action, []).append(rule)
    sheets: dict[str, list[str]] = {}
    for name in bundle.actions:
        sheets.setdefault(bundle.place(f"action:{name}").file, []).append(name)
    for file, names in sheets.items():
        if len(names) < _MANY or any(name not in allowed for name in names):
            continue
        loose = [name for name in names if bundle.actions[name].effect != "read" and any(
            not rule.limited for rule in allowed[name]
        )]  # fmt: skip
        if loose:
            problems.warning(
                "standing_privilege",
                bundle.place(f"profile:{profile.name}/ttl"),
                f"every action of {file}, for hours, with no bound on `{loose[0]}`: that is a standing privilege",
                "a profile for each kind of work, with the actions that it needs, and a task for each piece of it",
            )


def _rules_that_never_decide(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    """A rule that another, unlimited one covers decides nothing: its limits hold nobody."""
    if not profile.agents:
        place = bundle.place(f"profile:{profile.name}")
        problems.error("profile_without_agents", place, f"no agent may run profile `{profile.name}`")
    if not profile.allow and not profile.credentials:
        problems.warning("allows_nothing", bundle.place(f"profile:{profile.name}/allow"), "this profile allows nothing")
    for position, rule in enumerate(profile.allow):
        for other_position, other in enumerate(profile.allow):
            if other is rule or other.action != rule.action or not other.decides_always:
                continue
            wider = not other.on or (bool(rule.on) and all(any(w.covers(one) for w in other.on) for one in rule.on))
            earlier = other_position < position
            if wider and (earlier or (rule.limited and not other.limited)):
                number = other.id.rsplit("/", 1)[1]
                problems.warning(
                    "unreachable_rule",
                    bundle.place(f"rule:{rule.id}"),
                    f"rule {number} allows the same without limits, so this one decides nothing"
                    if not other.limited
                    else f"rule {number} answers for every such call, so this one is never tried",
                    "narrow the other rule, or leave this one out" if not other.limited else "put this one before it",
                )
                break


def _own_bounds(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    """Bounds taken from inputs that the agent itself declares, with nothing else to hold them."""
    for rule in profile.allow:
        action = bundle.actions.get(rule.action)
        if action is None or action.effect != "write":
            continue
        bounds = [(bound.arg, bound.value) for bound in rule.where]
        bounds += [(total.arg, total.maximum) for total in rule.budget.sums]
        fixed = {arg for arg, value in bounds if not isinstance(value, FromInput)}
        for arg, value in bounds:
            spec = profile.inputs.get(value.name) if isinstance(value, FromInput) else None
            if spec is None:
                continue
            if arg not in fixed and not spec.bounded:
                problems.warning(
                    "bounded_by_own_word",
                    bundle.place(f"rule:{rule.id}/where:{arg}"),
                    f"`{arg}` is bounded only by input `{spec.name}`, which the agent itself declares as it likes",
                    "bound the input, or ask for a voucher with `vouched_by`",
                )
            if not spec.required:
                problems.warning(
                    "optional_bound",
                    bundle.place(f"rule:{rule.id}/where:{arg}"),
                    f"`{spec.name}` is optional; a task without it is refused by this rule",
                )
        for across in rule.across:
            spec = profile.inputs.get(across.per.name) if isinstance(across.per, FromInput) else None
            # An agent that opens its own tasks can always declare another value, unless the values are few.
            if (
                spec is not None
                and not spec.vouched_by
                and not spec.one_of
                and set(profile.openers) & set(profile.agents)
            ):
                problems.warning(
                    "counted_by_own_word",
                    bundle.place(f"rule:{rule.id}/once_per:{spec.name}"),
                    f"`once_per` counts by input `{spec.name}`, and the agent may declare another one next time",
                    "ask for a voucher with `vouched_by`",
                    len(spec.name),
                )


def _unused(bundle: Bundle, problems: Problems) -> None:
    running = {agent for profile in bundle.profiles.values() for agent in (*profile.agents, *profile.openers)}
    for name in bundle.agents:
        if name not in running:
            place = bundle.place(f"agent:{name}")
            problems.warning("agent_without_profile", place, f"agent `{name}` may run nothing", width=len(name))
    used = {(one.target, one.access) for profile in bundle.profiles.values() for one in profile.credentials.values()}
    for target in bundle.targets.values():
        for access in target.accesses:
            if (target.name, access) not in used:
                place = bundle.place(f"access:{target.name}/{access}")
                problems.warning("unused_access", place, f"no profile uses access `{access}`", width=len(access))


def _permits_without_effect(bundle: Bundle, problems: Problems) -> None:
    """In a task only the profile permits; a hand-written permit counts for taskless actions alone."""
    taskless = [f'"{name}"' for name, action in bundle.actions.items() if action.taskless]
    for policy in bundle.policies:
        if (
            policy.effect == "permit"
            and 'Action::"' in policy.head
            and not any(name in policy.head for name in taskless)
        ):
            problems.warning(
                "permit_without_effect",
                policy.mark,
                f"permit `{policy.id}` changes nothing: within a task only its profile permits",
                "write a rule in the profile; hand-written policies may forbid",
            )
