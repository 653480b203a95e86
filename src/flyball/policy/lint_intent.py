"""What a profile promises of provenance, beside what it can keep.

1. A value out of a field that outsiders can write decides an effect only where the user named the
   document; and then a person is asked, unless the profile says that nobody need be.
2. A source that can never match refuses honest work: nobody reports it, nobody vouches for it.
3. An argument of an effect that nothing bounds is decided by whoever writes what the agent reads.
4. Rules that never hold, and obligations that nobody can meet.
"""

from __future__ import annotations

from flyball.policy.actions import BUILT_IN_ACTIONS
from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Problems
from flyball.policy.provenance import documents, root_of
from flyball.task.profile import REQUEST, Profile
from flyball.task.rules import IN_INPUT, FromInput, Rule, Source


def lint_intent(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    """Note what of a profile's provenance does not hold."""
    for rule in profile.allow:
        if rule.action in bundle.actions and rule.action not in BUILT_IN_ACTIONS:
            _documents(bundle, profile, rule, problems)
            _declared(bundle, profile, rule, problems)
            _unheard(bundle, profile, rule, problems)
            _unbounded(bundle, rule, problems)
            _computed(bundle, rule, problems)
            _groups(bundle, rule, problems)
            _out_of_reach(bundle, profile, rule, problems)
    _whole(bundle, profile, problems)


def _documents(bundle: Bundle, profile: Profile, rule: Rule, problems: Problems) -> None:
    found = list(documents(bundle, profile, rule))
    for one in found:
        if not one.named:
            problems.error(
                "document_not_named",
                bundle.place(f"rule:{rule.id}/where:{one.arg}/source:{one.source}"),
                f"anybody outside can write this, and nothing says which of them the user meant: `{one.source}`",
                "add `where FIELD in request`; or take the value from the request, or from a field by user or org",
                len(str(one.source)),
            )
        elif one.left:
            names = ", ".join(f"`{arg}`" for arg in one.left)
            problems.warning(
                "document_half_named",
                bundle.place(f"rule:{rule.id}/where:{one.arg}/source:{one.source}"),
                f"only some arguments of `{one.source.name}` are bound, so {names} still chooses the document",
                f"add a condition such as `where call.{one.left[0]} in request`, or bind {names} where it is called",
                len(str(one.source)),
            )
    if found and rule.effect == "allow":
        problems.warning(
            "document_allowed",
            bundle.place(f"rule:{rule.id}/effect"),
            f"`{found[0].arg}` may come from what anybody outside writes (`{found[0].source}`), and nobody is asked",
            "leave `effect` out, and a person is asked",
            len("effect"),
        )


def _vouched(profile: Profile, name: str) -> bool:
    """Whether the input can count as somebody's word other than the agent's."""
    spec = profile.inputs.get(name)
    return spec is None or bool(spec.vouched_by) or bool(set(profile.openers) - set(profile.agents))


def _declared(bundle: Bundle, profile: Profile, rule: Rule, problems: Problems) -> None:
    cited: dict[str, str] = {}
    for origin in rule.origins:
        for source in (*origin.sources, *(one for one in origin.plus if isinstance(one, Source))):
            place = f"rule:{rule.id}/where:{origin.arg}/source:{source}"
            if source.kind == "input":
                cited.setdefault(source.name, place)
            for row in (row for one in _links(source) for row in one.rows):
                if row.test in IN_INPUT:
                    cited.setdefault(row.value, place)
    if rule.asked:
        cited.setdefault(REQUEST, f"rule:{rule.id}/asked")
    for name, place in cited.items():
        if not _vouched(profile, name):
            problems.warning(
                "declared_source",
                bundle.place(place),
                f"nobody vouches for input `{name}`, so it satisfies no `from` and no `asked`",
                f"add `vouched_by` to input `{name}`: who signs what the user said",
            )


def _unheard(bundle: Bundle, profile: Profile, rule: Rule, problems: Problems) -> None:
    """Sources whose action the profile never allows, or whose results nobody but the agent reports."""
    allowed = {one.action for one in profile.allow}
    links = [(arg, whole, source) for arg, whole in _results(rule) for source in _links(whole)]
    for arg, whole, source in links:
        if source.name not in bundle.actions:
            continue
        place = bundle.place(f"rule:{rule.id}/where:{arg}/source:{whole}")
        if source.name not in allowed:
            problems.warning(
                "unreachable_source",
                place,
                f"this profile does not allow `{source.name}`, so nothing ever comes from it",
                "allow it, or take the source away",
                len(str(whole)),
            )
        elif not any(pep.may_report and not pep.is_agent and pep.may_ask(source.name) for pep in bundle.peps.values()):
            problems.warning(
                "unreported_source",
                place,
                f"no enforcement point but the agent's own reports results of `{source.name}`, so it satisfies nothing",
                "let a gateway or the tool's own server ask and report: `may_report: true`",
                len(str(whole)),
            )


def _links(source: Source) -> tuple[Source, ...]:
    """The source, and those that choose its rows."""
    inner = (link for row in source.rows if row.source is not None for link in _links(row.source))
    return (source, *inner)


def _results(rule: Rule) -> list[tuple[str, Source]]:
    found = [
        (origin.arg, one)
        for origin in rule.origins
        for one in (*origin.sources, *(plus for plus in origin.plus if isinstance(plus, Source)))
    ]
    found += [(one.arg, one.source) for one in rule.aggregates]
    return [(arg, source) for arg, source in found if source.kind == "result"]


def _unbounded(bundle: Bundle, rule: Rule, problems: Problems) -> None:
    action = bundle.actions[rule.action]
    if action.effect != "write":
        return
    held = {root_of(one.arg) for one in rule.where}
    held |= {root_of(one.arg) for one in rule.origins}
    held |= {root_of(one.arg) for one in rule.free}
    held |= {root_of(one.arg) for one in rule.aggregates}
    held |= {one.arg for one in rule.budget.sums}
    held |= {one.arg for one in (*rule.budget.distinct, *rule.budget.each)}
    if any(resource.columns for resource in rule.on):
        held.add("columns")
    loose = [arg for arg in action.args if arg not in held]
    if loose:
        names = ", ".join(f"`{arg}`" for arg in loose)
        problems.warning(
            "unbounded_argument",
            bundle.place(f"rule:{rule.id}/action"),
            f"nothing bounds {names} of this effect: whoever writes what the agent reads may decide",
            "say under `where` where each comes from, or how much is `free`",
            len(rule.action),
        )


def _computed(bundle: Bundle, rule: Rule, problems: Problems) -> None:
    for one in rule.aggregates:
        field = bundle.field(one.source.name, one.source.field)
        if field is not None and field.outside and bundle.actions[rule.action].effect == "write":
            problems.warning(
                "bound_by_outside",
                bundle.place(f"rule:{rule.id}/where:{one.arg}/{one.op.value}"),
                f"anybody outside can write what bounds `{one.arg}`",
                "compute it from a field by user or org, or add a bound of your own",
            )


def _groups(bundle: Bundle, rule: Rule, problems: Problems) -> None:
    """Two groups of `asked` that one word satisfies at once."""
    for number, group in enumerate(rule.asked):
        others = [one for other in rule.asked[:number] for one in other]
        both = [one for one in group if any(_meets(one, other) for other in others)]
        if both:
            problems.warning(
                "groups_overlap",
                bundle.place(f"rule:{rule.id}/asked:{number}"),
                f"`{both[0]}` satisfies this list and one before it: a single word is enough then",
                "let each list of `all` have words of its own",
            )


def _meets(one: str, other: str) -> bool:
    """Whether some single word is both."""
    if " " in one or " " in other:
        return one == other
    mine, theirs = one.lower().removesuffix("*"), other.lower().removesuffix("*")
    return (
        mine == theirs
        or (other.endswith("*") and mine.startswith(theirs))
        or (one.endswith("*") and theirs.startswith(mine))
    )


def _out_of_reach(bundle: Bundle, profile: Profile, rule: Rule, problems: Problems) -> None:
    allowed = {one.action for one in profile.allow}
    some = [action for action in rule.after_any if action in bundle.actions]
    never = some if some and not allowed & set(some) else []
    for action in (*rule.after, *never):
        if action in bundle.actions and action not in allowed:
            problems.warning(
                "unreachable_rule",
                bundle.place(f"rule:{rule.id}/after:{action}"),
                f"this profile does not allow `{action}`, so this rule never holds",
                "allow it, or leave it out of `after`",
                len(action),
            )
    if both := set(rule.after) & set(rule.before):
        name = sorted(both)[0]
        problems.warning(
            "unreachable_rule",
            bundle.place(f"rule:{rule.id}/before:{name}"),
            f"after and before `{name}` at once: this rule never holds",
            width=len(name),
        )
    own = bundle.actions[rule.action]
    for label in rule.unless:
        if own.effect == "read" and label == "outside":
            problems.warning(
                "unreachable_rule",
                bundle.place(f"rule:{rule.id}/unless:{label}"),
                "a task carries `outside` from its first read of anything outside; reads are better left alone",
                width=len(label),
            )


def _whole(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    where = f"profile:{profile.name}"
    allowed = {rule.action for rule in profile.allow}
    for action in profile.must:
        if action in bundle.actions and action not in allowed:
            problems.warning(
                "unreachable_must",
                bundle.place(f"{where}/must:{action}"),
                f"`{action}` must be done and no rule allows it",
                "allow it, or leave it out of `must`",
                len(action),
            )
    for never in profile.never:
        if never.action in bundle.actions and never.action not in allowed:
            written = f"{never.action}.{never.arg}" if never.by else never.action
            problems.warning(
                "unreachable_rule",
                bundle.place(f"{where}/never:{never.by or never.after}/{written}"),
                f"no rule allows `{never.action}`, so there is nothing to refuse",
                width=len(written),
            )
    today = profile.today
    if isinstance(today, Source) and today.name in bundle.actions and today.name not in allowed:
        problems.warning(
            "unreachable_source",
            bundle.place(f"{where}/today"),
            f"this profile does not allow `{today.name}`, so the plane's own clock is used",
            width=len(str(today)),
        )
    if isinstance(today, FromInput) and not _vouched(profile, today.name):
        problems.warning(
            "declared_source",
            bundle.place(f"{where}/today"),
            f"nobody vouches for input `{today.name}`: the agent sets the day",
        )
