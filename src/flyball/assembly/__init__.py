"""Where the parts are put together. Nothing imports assembly but `flyball.edges.cli` (to start) and tests."""
