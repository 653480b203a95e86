"""The control API. `app.create_app(house)` makes it, `run.run_control` serves it.

Enters: HTTP from agents (who prove themselves and their task's key) and operators (who show their
token). Leaves: calls of `flyball.flow`. Always: every error is a problem document (RFC 9457); no
answer is cached; no token, secret or body reaches a log.
"""
