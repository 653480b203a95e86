"""Client for Flyball."""
