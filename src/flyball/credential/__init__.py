"""Room 4, with what: credentials at targets, made for one task and taken back.

In comes a task that was allowed a credential; out go facts: a planned lease, what the target made
of it, what a revoke step did, what a probe saw. Nothing here writes a store or an audit record;
`flow` and `revocation` do, and in which order is theirs.

What always holds: a lease's expiry is never later than its task's hard end; its name at the target
follows from issuer, store and lease id alone; a lease moves only along `lease.ARROWS`; whatever a backend
answers or raises has passed `guarded.Guarded` first; a secret stands nowhere unsealed.
"""
