"""Contract suites, for Flyball's own tests and for those who write connectors. Needs pytest."""
