"""Matching principals to declared agents."""

import pytest

from flyball.identity.agents import AgentDecl, match_agent
from flyball.identity.principal import oidc_principal, peer_principal, spiffe_principal
from flyball.identity.spiffe_id import SpiffeId
from flyball.kernel.errors import ConfigError, Denied, Unauthenticated


def workload(text):
    return spiffe_principal(SpiffeId.parse(text), claims={}, expires_ms=1)


def agent(name, *ids, uid=None):
    return AgentDecl(name, ids, "owner", uid)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("spiffe://td/a/b", ["spiffe://td/a/b"], ["spiffe://td/a/bc", "spiffe://td/a", "spiffe://tdx/a/b"]),
        ("spiffe://td/a/*", ["spiffe://td/a/b"], ["spiffe://td/a/b/c", "spiffe://td/a", "spiffe://other/a/b"]),
        ("spiffe://td/a-*/c", ["spiffe://td/a-1/c", "spiffe://td/a-/c"], ["spiffe://td/a-1/x/c", "spiffe://td/a/c"]),
        ("spiffe://td/a/**", ["spiffe://td/a/b", "spiffe://td/a/b/c"], ["spiffe://td/a", "spiffe://td/ab"]),
        ("spiffe://td/a.b", ["spiffe://td/a.b"], ["spiffe://td/axb"]),
    ],
)
def test_patterns(pattern, matching, other):
    """`*` stays within a segment, `**` takes the rest, and everything else is literal."""
    decl = agent("a", pattern)
    assert [text for text in matching + other if decl.matches(workload(text))] == matching


def test_oidc_patterns():
    """The issuer is literal; a wildcard matches within the subject only."""
    decl = agent("a", "oidc:https://idp.test#ci:*", "oidc:https://idp.test#repo:**")
    for subject, wanted in [("ci:1", True), ("ci:a/b", False), ("repo:a/b", True), ("x", False)]:
        assert decl.matches(oidc_principal("https://idp.test", subject, claims={}, expires_ms=1)) is wanted
    assert not decl.matches(oidc_principal("https://idp.test/x", "ci:1", claims={}, expires_ms=1))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "**",
        "refund-agent",
        "spiffe://*/a",
        "spiffe://td",
        "spiffe://td/",
        "spiffe://t*/a",
        "spiffe://td/**/a",
        "spiffe://td/a/***",
        "spiffe://td/a//b",
        "spiffe://td/../*",
        "spiffe://td/" + "*-" * 9 + "x",
        "oidc:https://*#x",
        "oidc:https://idp.test#",
        "oidc:https://idp.test",
        "oidc:ftp://idp.test#x",
        "peer:uid:0",
    ],
)
def test_patterns_that_are_refused(pattern):
    """A pattern that leaves open who vouches, or that is no id at all, is refused at load."""
    with pytest.raises(ConfigError) as refused:
        agent("a", pattern)
    assert refused.value.code == "agent_pattern"


def test_unknown_agent():
    """A proven principal that nobody declared is denied."""
    with pytest.raises(Denied) as refused:
        match_agent(workload("spiffe://td/a"), [agent("b", "spiffe://td/b")])
    assert refused.value.code == "agent_unknown"


def test_ambiguous_agent():
    """Two declarations that match are refused, even when one is exact."""
    decls = [agent("one", "spiffe://td/a"), agent("two", "spiffe://td/*")]
    with pytest.raises(Denied) as refused:
        match_agent(workload("spiffe://td/a"), decls)
    assert refused.value.code == "agent_ambiguous"
    assert match_agent(workload("spiffe://td/b"), decls).name == "two"


def test_two_patterns_of_one_agent_are_no_ambiguity():
    """One declaration may match twice over."""
    assert match_agent(workload("spiffe://td/a"), [agent("one", "spiffe://td/a", "spiffe://td/*")]).name == "one"


def test_peers_match_by_user_id_only():
    """A Unix peer is the agent with its uid; no id pattern reaches it, and no token reaches a uid."""
    decls = [agent("one", "spiffe://td/**", uid=1000), agent("two", "spiffe://td2/**")]
    assert match_agent(peer_principal(1000), decls).name == "one"
    with pytest.raises(Denied):
        match_agent(peer_principal(1001), decls)
    with pytest.raises(Denied):
        match_agent(oidc_principal("https://idp", "1000", claims={}, expires_ms=1), decls)


def test_a_peer_without_user_id():
    """The kernel's `unknown` (-1) proves nobody."""
    with pytest.raises(Unauthenticated):
        peer_principal(-1)


@pytest.mark.parametrize("subject", ["", "a" * 256, "a\nb", "é", "a\x7f"])
def test_oidc_subjects_that_are_refused(subject):
    """A subject is 1 to 255 printable ASCII characters."""
    with pytest.raises(Unauthenticated):
        oidc_principal("https://idp", subject, claims={}, expires_ms=1)
