"""Words that drafts guess by: what a tool's or an argument's name usually means. Every guess is marked for a person."""

from __future__ import annotations

import re


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


READS = _set(
    "get list search find read show view query count check describe lookup retrieve inspect summarize is has "
    "status diff log history details info"
)
REACHES_OUT = _set("url uri link endpoint webhook host domain")
GRAVE = _set(
    "delete remove drop purge pay transfer wire refund charge buy purchase share grant permit invite execute exec run "
    "eval shell command password credential secret reset revoke publish deploy merge"
)
#: The shipped lists of words by which people ask for a deed, by the verb in the tool's name.
ASKED = {
    "send": "verbs(send)",
    "create": "verbs(save) verbs(create_event)",
    "delete": "verbs(delete)",
    "update": "verbs(change)",
    "pay": "verbs(pay)",
    "book": "verbs(book)",
    "share": "verbs(share)",
    "cancel": "verbs(cancel)",
}
#: Verbs in a tool's name that mean the same deed.
LIKE = {
    "send": "reply forward post message notify email mail publish announce comment",
    "create": "add new make append insert schedule write save upload generate register",
    "delete": "remove clear purge archive unsubscribe",
    "update": "edit set change modify rename move reschedule replace patch assign",
    "pay": "transfer refund charge buy purchase order wire donate",
    "book": "reserve",
    "share": "grant invite permit",
    "cancel": "stop abort",
}
#: As what an argument is compared, by a word in its name or by the schema's format.
KINDS = (
    ("email", "email mail cc bcc"),
    ("url", "url uri link endpoint webhook website"),
    ("iban", "iban"),
    ("phone", "phone mobile telephone"),
    ("datetime", "datetime timestamp starttime endtime start end when"),
    ("date", "date day birthday checkin checkout due deadline"),
    ("time", "time hour"),
    ("money", "amount price total cost fee sum budget fare"),
    ("path", "path file filepath filename folder directory"),
    ("id", "id ids uuid key code number reference sku iata slug handle username user channel account"),
)
#: As what it is compared, by words in its description. A name such as `to` alone says nothing.
SAID = (
    ("email", ("e-?mails?", "mail addresses", "mail address")),
    ("url", ("urls?", "uris?", "web address", "hyperlink")),
    ("phone", ("phone", "telephone", "mobile number", "phone numbers?")),
    ("iban", ("ibans?",)),
    ("datetime", ("date and time", "iso 8601 (?:date-?time|timestamp)", "timestamp")),
    ("date", ("yyyy-mm-dd", "calendar day")),
    ("path", ("file ?path", "path of", "path to")),
    ("id", ("ids?", "identifiers?", "handle", "slug", "channel")),
)
FREE = {
    "body": 8000,
    "content": 8000,
    "text": 4000,
    "message": 4000,
    "description": 2000,
    "comment": 2000,
    "notes": 2000,
    "note": 2000,
    "reason": 500,
    "subject": 200,
    "title": 200,
    "summary": 500,
}


def words(name: str) -> tuple[str, ...]:
    """The words of a name: snake_case, kebab-case and camelCase alike."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)
    return tuple(part.lower() for part in parts)


def stem(word: str) -> str:
    """A word as `asked` takes it: without its ending, so that `sends`, `sending` and `sent it` are near one entry."""
    for ending in ("ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            return word[: -len(ending)] + "*"
    return word + "*"


#: Words that name a deed. Of a description only these are taken: the rest of it is a stranger's text.
DEEDS = frozenset(word for verb, like in LIKE.items() for word in (verb, *like.split())) | (
    GRAVE - _set("command password credential secret shell")
)
