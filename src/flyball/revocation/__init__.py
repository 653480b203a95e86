"""7 Taken back: every lease, by one path, with proof.

Enters: leases, each with a cause and a lane (`loop.Revoker.submit`), and fences (`journal`).
Leaves: signed receipts. Always holds: the kill lane is ahead of the expiry lane; one hanging
target delays no other; neither a full disk nor a flood of checks delays a revocation, for its
checkpoints have reserved disk of their own; a lease ends VERIFIED, or stands loudly QUARANTINED and is
retried for ever; what a deposed node holds it does not revoke.

`loop` takes leases in and keeps the count, `bulkhead` gives each target threads of its own,
`attempt` is one pass over a lease's steps, `marks` are its checkpoints and `marker` writes them,
`journal` and `ring` keep what the store cannot take, `receipts` are the proof, `due` says what
time has come for, `sweep` compares the targets with the ledger, `erase` forgets a data key.
"""
