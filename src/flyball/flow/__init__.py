"""The flow: one request's one way through the rooms, and the one way back.

Enters: plain values from an edge (`asks`), beside the `House` that assembly built. Leaves: plain
values, or an error that explains itself. Always: an edge calls this room and nothing deeper; every
privileged effect is recorded before it is answered; whatever ends, ends through `end.finish`.
"""
