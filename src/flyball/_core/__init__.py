"""The compiled decision plane. Only `flyball.policy.engine` imports this package."""
