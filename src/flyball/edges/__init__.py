"""The edges: HTTP and the command line. They parse, call `flow`, and render; they decide nothing.

Enters: bytes of a wire, words of a command line. Leaves: calls of `flyball.flow` with plain values,
and its answers as JSON or text. Always: an edge imports `flow` (and `kernel`, the values everybody
speaks in) and nothing deeper; only the command line may also reach `assembly`, to start the house.
"""
