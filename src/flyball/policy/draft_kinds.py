"""As what an argument or field is compared: by what was seen of it, what its schema says, and last by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from flyball.kernel.json import Json
from flyball.policy.draft_words import KINDS, SAID, words

_FORMATS = {
    "email": "email",
    "idn-email": "email",
    "uri": "url",
    "url": "url",
    "iri": "url",
    "hostname": "host",
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "duration": "duration",
    "uuid": "id",
}
#: What values look like, the narrowest first.
_SHAPES = (
    ("email", re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")),
    ("url", re.compile(r"[a-z][a-z0-9+.-]*://\S+")),
    ("iban", re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?")),
    ("datetime", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")),
    ("date", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    ("time", re.compile(r"[0-9]{2}:[0-9]{2}(?::[0-9]{2})?")),
    ("phone", re.compile(r"\+[0-9][0-9 ()/-]{6,}")),
    ("number", re.compile(r"-?[0-9]+(?:\.[0-9]{1,4})?")),
    ("id", re.compile(r"(?=\S*[0-9])[A-Za-z0-9]+(?:[_#:.-][A-Za-z0-9]+)*")),
)
#: What a value may be beside what it looks like: a number may be an amount or a handle.
_ALSO = {"number": {"money", "id", "phone"}, "id": {"text"}, "datetime": {"date"}}


def kind_of(name: str, schema: Mapping[str, Json], values: Sequence[str] = ()) -> str:
    """As what an argument or field is compared, or empty where nothing tells.

    Values that were seen (in tasks, or as the schema's examples) count most, then the schema's format, then what its
    description says, and its name last: a field `to` holds addresses only where something says so.
    """
    named = _named(name)
    told = _told(schema, named)
    seen = [*values, *_examples(schema)]
    if not seen:
        return told
    looks = next((kind for kind, form in _SHAPES if all(form.fullmatch(one) for one in seen)), "")
    if not looks:
        # They are of no one form: no address and no number, whatever the name says.
        return told if told in ("", "text", "path") else "id" if told == "id" and not any(map(_spaced, seen)) else ""
    return told if told == looks or told in _ALSO.get(looks, ()) else looks


def _told(schema: Mapping[str, Json], named: str) -> str:
    for one in (schema, schema.get("items")):
        if isinstance(one, dict) and isinstance(form := one.get("format"), str) and form in _FORMATS:
            return _FORMATS[form]
    described = schema.get("description")
    text = described.lower() if isinstance(described, str) else ""
    said = [kind for kind, phrases in SAID if any(re.search(rf"\b{one}\b", text) for one in phrases)]
    if named in said:
        return named
    return said[0] if len(said) == 1 else named


def _named(name: str) -> str:
    said = words(name)
    for kind, known in KINDS:
        if said and (said[-1] in known.split() or "".join(said) in known.split()):
            return kind
    return next((kind for kind, known in KINDS if set(said) & set(known.split())), "")


def _examples(schema: Mapping[str, Json]) -> Iterator[str]:
    listed = schema.get("examples")
    for one in (*(listed if isinstance(listed, list) else ()), schema.get("example"), schema.get("default")):
        if isinstance(one, str) and one.strip():
            yield one


def _spaced(text: str) -> bool:
    return len(text.split()) > 1
