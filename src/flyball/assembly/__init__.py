"""Where the parts are put together. Nothing imports assembly but `flyball.edges.cli` (to start, and to
explain a bundle's failing case on a plane of its own: `scratch`) and tests."""
