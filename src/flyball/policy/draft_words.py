"""Words that drafts guess by: what a tool's or an argument's name usually means. Every guess is marked for a person."""

from __future__ import annotations


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
#: Words in a request that ask for a deed, by the verb in the tool's name.
ASKED = {
    "send": "send* mail* email* write* message* reply* answer* forward* share* tell* inform* notif* ask* remind*",
    "create": 'create* add* make* new schedul* plan* book* arrang* organi* write* put* "set up"',
    "delete": 'delete* remove* cancel* clear* clean* discard* drop* "get rid"',
    "update": "change* update* edit* modify* correct* fix* set* rename* move* reschedul* shift* adjust* switch*",
    "pay": "pay* settle* transfer* send* buy* purchas* order* refund* bill* invoice*",
    "book": "book* reserv* order* schedul* plan*",
    "share": "share* give* grant* invit* add* access* send*",
    "cancel": "cancel* call* drop* refund* remove* delete* stop*",
}
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
    ("email", "email mail recipient recipients participants attendees guests cc bcc to"),
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
