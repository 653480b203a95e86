"""Whether every name in a bundle means something, and every bound fits what it bounds."""

from __future__ import annotations

from flyball.identity.spiffe_id import SpiffeId
from flyball.kernel.errors import InvalidInput
from flyball.policy.actions import BUILT_IN_ACTIONS
from flyball.policy.bundle import Bundle, Pep
from flyball.policy.check_intent import check_flow, check_rule
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.policy.gateways import check_gateways
from flyball.task.profile import InputType, Profile, canonical_value
from flyball.task.rules import Bound, FromInput, Op, Rule, Sum

#: Which operators fit which type of argument.
_OPS = {
    "string": {Op.EQ, Op.ONE_OF, Op.PATTERN, Op.PREFIX, Op.LENGTH},
    "long": {Op.EQ, Op.ONE_OF, Op.MAX, Op.MIN},
    "decimal": {Op.EQ, Op.ONE_OF, Op.MAX, Op.MIN},
    "bool": {Op.EQ},
    "strings": {Op.ONE_OF, Op.PATTERN, Op.PREFIX, Op.LENGTH},
    "any": set[Op](),
}
_INPUT_FITS: dict[str, set[InputType]] = {
    "string": {kind for kind in InputType if kind.wire == "string" and kind is not InputType.TEXT},
    "long": {InputType.LONG},
    "decimal": {InputType.DECIMAL, InputType.LONG},
    "bool": {InputType.BOOL},
}
_COUNTED = set(InputType) - {InputType.BOOL, InputType.TEXT}


def check_bundle(bundle: Bundle, problems: Problems) -> None:
    """Note every name that means nothing and every bound that does not fit."""
    check = _Check(bundle, problems)
    check.agents()
    check.classes()
    check.actions()
    check.targets()
    check.peps()
    check_gateways(bundle, problems)
    for profile in bundle.profiles.values():
        check.profile(profile)
    check.input_types()


class _Check:
    def __init__(self, bundle: Bundle, problems: Problems) -> None:
        self.bundle = bundle
        self.problems = problems

    def agents(self) -> None:
        seen: dict[str | int, str] = {}
        for name, agent in self.bundle.agents.items():
            mark = self.bundle.place(f"agent:{name}")
            place = self.bundle.place(f"agent:{name}/owner")
            self.problems.known("owner", agent.owner, self.bundle.owners, place, "unknown_owner")
            for proof in (*agent.ids, *(() if agent.uid is None else (agent.uid,))):
                other = seen.setdefault(proof, name)
                if other != name:
                    self.problems.error(
                        "agent_ambiguous", mark, f"agents `{other}` and `{name}` share the identity {proof}"
                    )

    def classes(self) -> None:
        for name, one in self.bundle.classes.items():
            if one.record == "buffered" and one.risk != "low":
                self.problems.error(
                    "buffered_risk",
                    self.bundle.place(f"class:{name}"),
                    f"access class `{name}` of {one.risk} risk may not be `buffered`",
                    "an answer that leaves before its record is for `risk: low` only",
                    len(name),
                )

    def actions(self) -> None:
        bundle = self.bundle
        for name, action in bundle.actions.items():
            if name in BUILT_IN_ACTIONS:
                continue
            place = bundle.place(f"action:{name}/resource")
            self.problems.known(
                "resource type", action.resource_type, bundle.resource_types, place, "unknown_resource_type"
            )
            self.problems.known(
                "access class",
                action.access_class,
                bundle.classes,
                bundle.place(f"action:{name}/class"),
                "unknown_class",
            )
            if action.taskless and not bundle.subject_types:
                self.problems.error(
                    "no_subject_types",
                    bundle.place(f"action:{name}"),
                    f"action `{name}` is decided without a task, and the bundle has no `subject_types`",
                )

    def targets(self) -> None:
        for target in self.bundle.targets.values():
            for access in target.accesses.values():
                for grant in access.grants:
                    place = self.bundle.place(f"grant:{target.name}/{access.name}/{grant.action}")
                    self.problems.known("action", grant.action, self.bundle.actions, place, "unknown_action")

    def peps(self) -> None:
        seen: dict[str, str] = {}
        for pep in self.bundle.peps.values():
            other = seen.setdefault(str(pep.identity), pep.name)
            if other != pep.name and pep.identity:
                mark = self.bundle.place(f"pep:{pep.name}")
                self.problems.error(
                    "pep_ambiguous", mark, f"enforcement points `{other}` and `{pep.name}` have one identity"
                )
            self.pep(pep)

    def pep(self, pep: Pep) -> None:
        place = self.bundle.place(f"pep:{pep.name}/actions")
        if not pep.actions:
            self.problems.error("pep_without_actions", place, f"enforcement point `{pep.name}` may ask for nothing")
        for pattern in pep.actions:
            only = Pep(pep.name, {}, (pattern,))
            if self.problems.doubted("action"):
                continue
            if not any(only.may_ask(action) for action in self.bundle.actions):
                self.problems.error(
                    "unknown_action",
                    place,
                    f"no action is named `{pattern}`",
                    did_you_mean(pattern, self.bundle.actions),
                )
        place = self.bundle.place(f"pep:{pep.name}/may_assert_subject")
        for name in pep.may_assert_subject:
            self.problems.known("resource type", name, self.bundle.resource_types, place, "unknown_resource_type")
        if pep.is_agent and (pep.may_assert_subject or pep.may_report):
            self.problems.error(
                "agent_vouches_for_itself",
                place,
                "the agent's own enforcement point may neither assert subjects nor report",
            )

    def profile(self, profile: Profile) -> None:
        bundle, name = self.bundle, profile.name
        for agent in profile.agents:
            self.problems.known(
                "agent", agent, bundle.agents, bundle.place(f"profile:{name}/agent:{agent}"), "unknown_agent"
            )
        for opener in profile.openers:
            place = bundle.place(f"profile:{name}/opener:{opener}")
            if opener in profile.agents:
                continue
            if self.problems.known("agent", opener, bundle.agents, place, "unknown_opener"):
                self.problems.error(
                    "not_in_this_version",
                    place,
                    f"`{opener}` does not run this profile, and opening a task for another is not in this version",
                    "name some of the profile's own agents",
                    len(opener),
                )
        for credential in profile.credentials.values():
            key = f"credential:{name}/{credential.name}"
            if self.problems.known(
                "target", credential.target, bundle.targets, bundle.place(f"{key}/target"), "unknown_target"
            ):
                accesses = bundle.targets[credential.target].accesses
                self.problems.known(
                    "access", credential.access, accesses, bundle.place(f"{key}/access"), "unknown_access"
                )
        issuers = self.issuers()
        for spec in profile.inputs.values():
            for issuer in spec.vouched_by:
                place = bundle.place(f"input:{name}/{spec.name}/vouched_by")
                if not self.workload_of_ours(issuer):
                    self.problems.known("voucher issuer", issuer, issuers, place, "unknown_voucher_issuer")
        for rule in profile.allow:
            self.rule(profile, rule)
        check_flow(bundle, profile, self.problems)

    def issuers(self) -> tuple[str, ...]:
        """Who may vouch for inputs beside single workloads: the OIDC issuers whose tokens are taken."""
        oidc = self.bundle.identity.get("oidc")
        return (
            tuple(str(one.get("issuer", "")) for one in oidc if isinstance(one, dict)) if isinstance(oidc, list) else ()
        )

    def workload_of_ours(self, issuer: str) -> bool:
        """Whether `issuer` is one workload of a trust domain that is taken. A whole domain may not vouch: the
        agent itself is one of its workloads."""
        domains = self.bundle.identity.get("trust_domains")
        try:
            workload = SpiffeId.parse_workload(issuer)
        except InvalidInput:
            return False
        return isinstance(domains, dict) and workload.trust_domain in domains

    def rule(self, profile: Profile, rule: Rule) -> None:
        bundle = self.bundle
        place = bundle.place(f"rule:{rule.id}/action")
        if not self.problems.known("action", rule.action, bundle.actions, place, "unknown_action"):
            return
        action = bundle.actions[rule.action]
        if rule.action in BUILT_IN_ACTIONS:
            self.problems.error(
                "built_in", place, f"`{rule.action}` is allowed by the profile itself", "leave the rule out"
            )
            return
        if action.taskless:
            self.problems.error("taskless_action", place, f"action `{rule.action}` is decided without a task")
        if action.args.get("columns") == "strings" and len({resource.columns for resource in rule.on}) > 1:
            self.problems.error(
                "columns_differ",
                bundle.place(f"rule:{rule.id}"),
                f"`{rule.action}` has an argument `columns`, and the entries of `on` name different ones",
                "write a rule for each",
            )
        check_rule(bundle, profile, rule, self.problems)
        for bound in rule.where:
            mark = bundle.place(f"rule:{rule.id}/where:{bound.arg}")
            if "." in bound.arg or "[" in bound.arg:
                self.problems.error(
                    "wrong_bound",
                    mark,
                    "a path into an argument takes `from`, `free`, and numbers as `max`, `min`, `eq`; no other bound",
                    'write a constant as a source: `from: ["=value"]`',
                    len(bound.arg),
                )
            elif self.problems.known("argument", bound.arg, action.args, mark, "unknown_argument", rule.action):
                mark = bundle.place(f"rule:{rule.id}/where:{bound.arg}/{bound.op.value}")
                self.bound(profile, bound, action.args[bound.arg], mark)
        for total in (*rule.budget.sums, *(total for across in rule.across for total in across.sums)):
            self.total(profile, rule, total)
        for across in rule.across:
            mark = bundle.place(f"rule:{rule.id}/budget")
            if isinstance(across.per, FromInput):
                mark = bundle.place(f"rule:{rule.id}/once_per:{across.per.name}")
                if self.problems.known("input", across.per.name, profile.inputs, mark, "unknown_input"):
                    spec = profile.inputs[across.per.name]
                    if spec.type not in _COUNTED:
                        self.problems.error("wrong_bound", mark, f"nothing is counted once per {spec.type.value}")
            elif across.calls is None and not across.sums:
                self.problems.error(
                    "empty_bounds", mark, f"`per_{across.per}` limits nothing", "give it `calls` or an argument"
                )

    def total(self, profile: Profile, rule: Rule, total: Sum) -> None:
        mark = self.bundle.place(f"rule:{rule.id}/sum:{total.arg}")
        args = self.bundle.actions[rule.action].args
        if not self.problems.known("argument", total.arg, args, mark, "unknown_argument", rule.action):
            return
        if args[total.arg] not in ("long", "decimal"):
            self.problems.error("wrong_bound", mark, f"`{total.arg}` is a {args[total.arg]} and cannot be summed")
        mark = self.bundle.place(f"rule:{rule.id}/sum:{total.arg}/max")
        self.from_input(profile, total.maximum, "decimal", mark)

    def bound(self, profile: Profile, bound: Bound, kind: str, mark: Mark) -> None:
        value = bound.value
        if bound.op not in _OPS[kind]:
            fits = ", ".join(sorted("max_length" if op is Op.LENGTH else op.value for op in _OPS[kind]))
            fits = fits or "`max`, `min` and `eq` with a number written here; `from` with constants for the rest"
            name = "max_length" if bound.op is Op.LENGTH else bound.op.value
            self.problems.error("wrong_bound", mark, f"`{name}` cannot bound a {kind}", f"what can: {fits}")
        elif isinstance(value, FromInput):
            if bound.op in (Op.PATTERN, Op.LENGTH, Op.ONE_OF):
                self.problems.error(
                    "wrong_bound", mark, f"`{bound.op.value}` takes no input, only a value written here"
                )
            else:
                self.from_input(profile, value, kind, mark)
        elif (bound.op is Op.ONE_OF) != isinstance(value, tuple):
            self.problems.error("wrong_bound", mark, "`one_of` takes a list, and nothing else does")
        elif bound.op is Op.LENGTH:
            if not isinstance(value, str) or not value.isdecimal() or len(value) > 9:
                self.problems.error("wrong_bound", mark, "`max_length` takes a whole number")
        else:
            values = value if isinstance(value, tuple) else (value,)
            if not values or any(canonical_value(_input_type(kind), one) is None for one in values):
                self.problems.error("wrong_bound", mark, f"this is no {kind}, as `{bound.arg}` is")

    def from_input(self, profile: Profile, value: object, kind: str, mark: Mark) -> None:
        """Note an input that is not there or does not fit an argument of type `kind`."""
        if isinstance(value, FromInput) and self.problems.known(
            "input", value.name, profile.inputs, mark, "unknown_input"
        ):
            spec = profile.inputs[value.name]
            if spec.type not in _INPUT_FITS.get(kind, ()):
                self.problems.error(
                    "wrong_bound", mark, f"input `{value.name}` is a {spec.type.value} and cannot bound a {kind}"
                )

    def input_types(self) -> None:
        """Policies see one type for each input's name, whatever the profile."""
        seen: dict[str, tuple[str, str]] = {}
        for profile in self.bundle.profiles.values():
            for spec in profile.inputs.values():
                kind, other = seen.setdefault(spec.name, (spec.type.wire, profile.name))
                if kind != spec.type.wire:
                    self.problems.error(
                        "input_type_clash",
                        self.bundle.place(f"input:{profile.name}/{spec.name}"),
                        f"input `{spec.name}` is a {spec.type.wire} here and a {kind} in profile `{other}`",
                        "policies see one type for each name: rename one of them",
                        len(spec.name),
                    )


def _input_type(kind: str) -> InputType:
    return InputType.STRING if kind == "strings" else InputType(kind)
