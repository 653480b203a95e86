"""`flyball demo`: the main job, end to end, on this machine, in under a minute.

Every line it prints was observed, most of them at the database itself. `story.py` tells the seven
steps; `agent.py` is the agent, a process of its own that knows only the SDK and its own identity;
`stage.py` sets the scene (an embedded PostgreSQL, a dev trust domain, a Flyball server).
"""
