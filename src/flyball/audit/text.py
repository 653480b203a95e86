"""Foreign text, made safe to show.

Agents, targets and tokens choose names, arguments and error texts. Shown raw they could clear a
terminal, fake a line of a log, or read differently from what they are (bidirectional overrides,
zero-width characters). Everything that leaves Flyball for a person goes through here.
"""

from __future__ import annotations

import json
import unicodedata

from flyball.kernel.json import Json

# Cc controls (C0, C1, DEL), Cf formats (bidi, zero width, tags, soft hyphen), Cs surrogates, Co private
# use, Cn unassigned, Zl and Zp line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_MARKS = 4


def escape(value: object, limit: int = 200) -> str:
    r"""`value` as one line of visible text, at most `limit` characters plus a count of what was cut.

    Unseen characters become `\u{…}`, backslashes are doubled (so an escape cannot be forged), and of
    a pile of combining marks only the first few are kept as they are.
    """
    text = value if isinstance(value, str) else "" if value is None else str(value)
    cut = len(text) - limit
    if cut > 0:
        text = text[:limit]
    shown = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if char == "\\":
            shown.append("\\\\")
        elif category in _UNSEEN or marks > _MAX_MARKS or (category == "Zs" and char != " "):
            shown.append(f"\\u{{{ord(char):x}}}")
        else:
            shown.append(char)
    if cut > 0:
        shown.append(f"…(+{cut})")
    return "".join(shown)


def json_line(value: Json) -> str:
    r"""`value` as one line of JSON in ASCII: everything unseen stands as `\u….`."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":")).replace("\x7f", "\\u007f")
