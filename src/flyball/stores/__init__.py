"""Where what Flyball knows is kept.

Enters: units of work, whole. Leaves: rows and records, by the last commit. Always holds: a unit is
durable or was never there; one node writes; secrets and inputs stand sealed; a store written by a
newer Flyball is refused. Every store passes the suite in `tests/contracts/test_store.py`.
"""
