"""PostgreSQL 15 to 18: a role for each lease, by membership, killed and dropped with proof.

`backend.build` is the way in. `issue.py` and `revoke.py` hold the order of things (P1 to P8 in their
text), `probe.py` the proof, `pool.py` and `wire.py` the two ways of talking: as Flyball's own role
through libpq, and as whoever is tried through a few messages of the protocol itself, because libpq
does not tell an authentication refusal from other failures.
"""
