"""Values found in running text, plainly: the longest run of words that reads as one value is one."""

from __future__ import annotations

import re

from tests.model import strings, times
from tests.model.values import Readings, nfc, read

#: How many words one value of a kind may have.
_LONGEST = {"phone": 6, "iban": 10, "date": 6, "time": 3, "datetime": 10, "duration": 6, "money": 3, "number": 1}
_AROUND = ".,;:!?()[]{}<>\"'`“”‘’«»…*_"


def tokens(text: str) -> list[str]:
    """The words of a text as they stand, without the punctuation around them, case kept."""
    return [word for word in (piece.strip(_AROUND) for piece in nfc(text).split()) if word]


def find(kind: str, text: str) -> list[Readings]:
    """Every value of that kind that stands in the text."""
    out: list[Readings] = []
    pieces = nfc(text).split()
    if kind in ("number", "money", "time", "duration"):
        pieces = [part for piece in pieces for part in _parts(kind, piece)]
    at = 0
    while at < len(pieces):
        took = 0
        for many in range(min(_LONGEST.get(kind, 1), len(pieces) - at), 0, -1):
            found = _whole(kind, " ".join(pieces[at : at + many]))
            if found:
                out.append(found)
                took = many
                break
        at += took or 1
    return out


def _whole(kind: str, text: str) -> Readings:
    bare = text.strip(_AROUND)
    if kind == "id":
        return (("id", bare),) if bare else ()
    if kind in ("email", "url"):
        bare = bare.removeprefix("mailto:")
    if kind == "host" and "." not in bare:
        return ()
    if kind == "path" and "/" not in bare and "." not in bare:
        return ()
    return read(kind, bare) or (read(kind, text.strip()) if kind == "path" else ())


def _parts(kind: str, piece: str) -> list[str]:
    """A range is its two ends: 10:00-11:00."""
    if kind == "time" and re.fullmatch(r"[^-–]*[0-9apm][-–][0-9][^-–]*", piece):
        return re.split(r"[-–]", piece)
    return [piece]


def id_stands_in(value: str, text: str) -> bool:
    """Whether an identifier stands in a text, in its exact case, as whole words."""
    wanted, there = tokens(value), tokens(text)
    if not wanted:
        return False
    return any(there[at : at + len(wanted)] == wanted for at in range(len(there) - len(wanted) + 1))


def asked(phrases: list[str], text: str) -> bool:
    """SPEC: "one of these stands in the request, whole words, `*` ends a stem"."""
    there = strings.words(text)
    for phrase in phrases:
        wanted = [(word.removesuffix("*").casefold(), word.endswith("*")) for word in phrase.split()]
        for at in range(len(there) - len(wanted) + 1):
            if wanted and all(
                there[at + i].startswith(word) if stem else there[at + i] == word
                for i, (word, stem) in enumerate(wanted)
            ):
                return True
    return False


def day_of(text: str) -> tuple[int, int, int] | None:
    """The one full date that a text is; for `today`."""
    for value in read("date", text) or [value[1] for value in read("datetime", text)]:
        if value[0] == "date" and value[1] is not None:
            return value[1], value[2], value[3]
    return None


__all__ = ["asked", "day_of", "find", "id_stands_in", "times", "tokens"]
