"""Room 2: what a principal is doing, and for how long.

Enters: a proven principal, a reviewed profile, declared inputs and vouchers for them.
Leaves: a `Task`, the root of all authority, and the arrows that it may take.

Always holds: a task is made only by `lifecycle.open_task` and rebuilt only by a store; it never
outlives its profile's TTL; FENCED and CLOSED are final; an input is marked with who vouched for
it, and the agent's own word is marked as nobody's.

`profile` what a profile is, and `validate_inputs` · `task` the task and its states · `spec` the task as
the decision plane takes it · `lifecycle` opening, and the arrows · `heartbeat` time that does not count
while we are deaf · `ports` what is needed of a store.
"""
