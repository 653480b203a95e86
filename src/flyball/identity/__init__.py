"""Room 1, identity: who is asking.

Enters: a token as text, a DPoP proof, a peer's user id, files of trusted keys, and a clock.
Leaves: a `Principal` (principal.py), an `AgentDecl` it was matched to (agents.py), a verified
`TaskToken` (task_token.py), an operator's name (admin.py).

What always holds:

- A `Principal` or `TaskToken` is made only here, after every check has passed.
- A check that may not be ignored raises (`Unauthenticated`, `Denied`, `ConfigError`,
  `Unavailable`), with a stable code; it never returns a bool. No refusal repeats the token.
- The algorithm comes from an allow-list of the verifier, never from the token; keys come from
  trusted files or the issuer's own JWKS, never from a header of the token (the DPoP proof, whose
  key *is* its claim, excepted).
- Unknown, malformed, late, stale: refused. Trusted keys that cannot be refreshed grow stale.
- The development trust domain (dev.py) never works under a production configuration.

Read in this order: jose.py (the one strict reader of compact JWS), principal.py, jwt_svid.py,
oidc.py, dpop.py, task_token.py, resolve.py.
"""
