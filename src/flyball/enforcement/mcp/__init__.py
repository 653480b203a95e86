"""The Model Context Protocol, as an enforcement point reads it: revisions 2026-07-28 and 2025-11-25.

Always: a message is read once, strictly, and what was read is what is decided on and what passes. A method that is not
known here does not pass. A server's word about its own tools (annotations) is believed nowhere.
"""
