"""What the harness calls the parties of a replay. Authors of profiles write these names."""

from __future__ import annotations

#: The agent of every profile, and its team.
AGENT = "agent"
OWNER = "team"
#: The enforcement point: the harness itself, with an identity of its own.
PEP = "harness"
#: Whose word the user's request is: the service that opens the task for the user.
VOUCHER = "spiffe://harness.example/front-desk"
TRUST_DOMAIN = "harness.example"
#: The one input that every profile gets.
REQUEST = "request"
#: The resource type of every tool that no sheet names.
RESOURCE = "tool"
