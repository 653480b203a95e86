"""Values found in running text, plainly: the longest run of words that reads as one value is one."""

from __future__ import annotations

import re
from typing import Any

from tests.model import strings, times
from tests.model.strings import nfc
from tests.model.values import Readings, Value, read

#: How many words one value of a kind may have.
_LONGEST = {
    "phone": 6, "iban": 10, "date": 6, "time": 4, "datetime": 10, "duration": 7, "money": 5, "number": 5,
}  # fmt: skip
_AROUND = ".,;:!?()[]{}<>\"'`“”‘’«»…*_"
_QUOTED = re.compile(r"(?<![\w])(?:\"([^\"\n]{1,128})\"|“([^”\n]{1,128})”|'([^'\n]{1,128})'(?!\w))")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_NTH = r"[0-9]{1,2}(?:st|nd|rd|th)?"
_TO = r"(?:\s*(?:-|–|to|and|until|through)\s*(?:the\s+)?)"
_FILES = ("txt", "md", "pdf", "doc", "docx", "csv", "py", "js", "json", "xml", "html", "png", "jpg", "zip", "yaml")


def find(kind: str, text: str) -> list[Readings]:
    """Every value of that kind that stands in the text."""
    plain = nfc(text)
    if kind == "words":
        return [(("words", word),) for word in strings.gist(text)]
    if kind == "id":
        return _ids(plain)
    if kind in ("date", "datetime"):
        plain = _spread_dates(plain)
    if kind == "date":
        plain = re.sub(r"(\d{4}-\d{2}-\d{2})[Tt]\d{2}:\S*", r"\1", plain)
        plain = re.sub(r"(?i)^date:", "", plain)
    if kind in ("time", "datetime"):
        plain = _spread_times(plain, kind)
    if kind in ("money", "number", "duration"):
        plain = _spread_numbers(plain, kind)
    quoted: list[Readings] = []
    if kind == "path":
        for match in _QUOTED.finditer(plain):
            whole = next(part for part in match.groups() if part)
            if " " in whole and ("/" in whole or "." in whole):
                quoted.append(read("path", whole))
    return [*quoted, *_scan(kind, plain)]


def _scan(kind: str, plain: str) -> list[Readings]:
    out: list[Readings] = []
    pieces = plain.split()
    if kind in ("email", "url", "host"):
        pieces = [part for piece in pieces for part in re.split(r"[,;]|\]\(", piece.removeprefix("To:"))]
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
    """One run of words as one value, the punctuation around it aside."""
    bare = text.strip(_AROUND.replace("_", ""))
    if not bare:
        return ()
    if kind == "email":
        bare = bare.removeprefix("mailto:").split("?")[0]
    if kind == "number":
        bare = bare.lstrip("$€£¥+").removesuffix("%")
    if kind == "host":
        for one in read("url", bare):
            return (("host", strings.url_host(one[1])),)
        if bare != "localhost" and not _public(bare) and not re.fullmatch(r"([0-9]+\.){3}[0-9]+", bare):
            return ()
    if kind == "url":
        if bare.count("(") > bare.count(")") and f"{bare})" in text:
            bare += ")"
        found = read(kind, bare) or (read(kind, f"{bare}/") if "/" not in bare and _public(bare) else ())
        if found and "://" not in bare:
            return () if not _public(bare.split("/")[0]) else tuple(
                ("url", way + found[0][1]) for way in ("", "https://", "http://")
            )  # fmt: skip
        return found
    if kind == "path":
        if "://" in bare:
            bare = bare.split(":/", 1)[1].replace("//", "/", 1) if not bare.endswith("://") else ""
        elif re.match(r"\./|\.[A-Za-z]", text):
            bare = text.rstrip(_AROUND)
        if not re.search(r"[/\\]|[^\W\d]\.[^\W]|\.[^\W\d]", bare):
            return ()
        return read(kind, bare)
    if kind == "time":
        found = read(kind, bare)
        # Half of the day is left open where the hour has one figure.
        if re.fullmatch(r"(?:at )?[1-9]:[0-9]{2}", bare):
            return (*found, ("time", found[0][1] + 43_200))
        return found
    if kind == "datetime":
        found = read(kind, bare)
        if read("date", bare):
            return ()
        if re.search(r"(?<![0-9:])[1-9]:[0-9]{2}$", bare):
            return (*found, *(("datetime", one[1], one[2] + 43_200, one[3]) for one in found))
        return found
    if kind == "date":
        bare = re.sub(r"['’]s$", "", bare)
        if re.fullmatch(r"(?i)(mon|tues?|wed|thurs?|fri|sat|sun)", bare):
            return ()
    if kind == "duration" and re.fullmatch(r"[0-9]+ [a-z]", bare):
        return ()
    return read(kind, bare)


def _public(name: str) -> bool:
    """A host name as it stands in prose: more than one label, and no file's ending."""
    labels = name.lower().split(":")[0].rstrip(".").split(".")
    return len(labels) > 1 and re.fullmatch(r"[^\W\d_]{2,}", labels[-1]) is not None and labels[-1] not in _FILES


def _ids(plain: str) -> list[Readings]:
    """Words that look like identifiers: with a figure or a sign in them, or what stands in quotes."""
    out: list[Value] = []
    for match in _QUOTED.finditer(plain):
        out.append(("id", next(part for part in match.groups() if part)))
    for piece in plain.split():
        bare = re.sub(r"['’]s$", "", piece.strip(_AROUND.replace("_", "")))
        parts = [bare, *(part for part in re.split(r"[=:,]", bare) if part != bare)]
        if bare.startswith("#"):
            parts.append(bare[1:])
        for place, part in enumerate(parts):
            inner = re.search(r"[^\W_][-_./@]+[^\W_]", part) if "'" not in part and "’" not in part else None
            if strings.unseen(part) or not (re.search(r"[0-9]", part) or (inner and place == 0)):
                continue
            if place and part != bare.lstrip("#") and not re.search(r"[0-9]", part):
                continue
            out.append(("id", part))
    return [(one,) for one in out]


def _spread_dates(plain: str) -> str:
    """A range of days is its two ends, each with its month, and a year that is said once is said for both."""

    def two(match: re.Match[str]) -> str:
        parts = match.groupdict()
        year = f" {parts['year']}" if parts.get("year") else ""
        days = [parts["one"], *re.findall(_NTH, parts["more"])]
        return " ; ".join(f"{parts['month']} {day}{year}" for day in days)

    year = r"(?:,?\s+(?P<year>[0-9]{4}))?\b"
    more = rf"(?P<more>(?:(?:{_TO}|\s*,\s*){_NTH}(?![0-9:]))+)"
    plain = re.sub(rf"(?i)\b(?P<month>{_MONTH})\s+(?P<one>{_NTH}){more}(?!\s+{_MONTH})(?!\s+[a-z]){year}", two, plain)
    plain = re.sub(rf"(?i)\b(?P<one>{_NTH}){more}\s+(?:of\s+)?(?P<month>{_MONTH}){year}", two, plain)
    plain = re.sub(r"(\d{1,4}[-/]\d{1,2}[-/]\d{1,4})[-/–](\d{1,4}[-/]\d{1,2}[-/]\d{1,4})", r"\1 ; \2", plain)

    def both(match: re.Match[str]) -> str:
        first, join, second = match["first"], match["join"], match["second"]
        mine, theirs = match["y1"], match["y2"]
        if mine and not theirs:
            return f"{first} {mine}{join}{second} {mine}"
        if theirs and not mine:
            back = _order(first) > _order(second)
            return f"{first} {int(theirs) - back}{join}{second} {theirs}"
        return match[0]

    day = rf"{_MONTH}\s+{_NTH}"
    pair = (
        rf"(?i)(?P<first>{day})(?:,?\s+(?P<y1>[0-9]{{4}}))?(?P<join>\s*(?:-|–|\bto\b|\band\b)\s*)"
        rf"(?P<second>{day}|{_NTH}\s+{_MONTH})(?:,?\s+(?P<y2>[0-9]{{4}}))?"
    )
    return re.sub(pair, both, plain)


def _order(day: str) -> tuple[int, int]:
    found = read("date", day)
    return (found[0][2], found[0][3]) if found and found[0][0] == "date" else (0, 0)


def _spread_times(plain: str, kind: str) -> str:
    """A range of times is its two ends; "from 2 to 3 PM" says the half of the day once."""

    def ends(match: re.Match[str]) -> str:
        first, second, half = match[1], match[3], match[4]
        early = int(first.split(":")[0]) % 12 <= int(second.split(":")[0]) % 12
        other = half if early else {"a": "pm", "p": "am"}[half.lower()[0]]
        return f"{first} {other} ; {second} {half}"

    plain = re.sub(
        r"(?i)\b([0-9]{1,2}(?::[0-9]{2})?)(\s*(?:-|–|\bto\b)\s*)([0-9]{1,2}(?::[0-9]{2})?)\s?([ap]\.?m\b\.?)",
        ends,
        plain,
    )
    if kind == "time":
        plain = re.sub(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?\S*", r"\1 ; \2", plain)
        return re.sub(r"(\d:\d{2})\s*[-–]\s*(\d{1,2}:\d{2})", r"\1 ; \2", plain)
    ranged = r"(?i)(\S+(?: \S+){0,3}?)\s+(?:from )?(\d{1,2}:\d{2})\s*(?:-|–|to)\s*(\d{1,2}:\d{2})"
    match = re.search(ranged, plain)
    if match:
        words = match[1].split()
        for at in range(len(words)):
            day = " ".join(words[at:])
            if read("date", day.removeprefix("on ")):
                day = day.removeprefix("on ")
                return plain[: match.start()] + f" ; {day} {match[2]} ; {day} {match[3]}" + plain[match.end() :]
    return plain


def _spread_numbers(plain: str, kind: str) -> str:
    """A range of amounts is its two ends; its unit is said once."""
    if kind == "duration":
        plain = re.sub(r"\b(one|two|three|[0-9]+)-(hour|minute|day|week)\b", r"; \1 \2 ;", plain)
        unit = r"(hours?|minutes?|days?|weeks?)"
        return re.sub(rf"\b(\d+)\s*(?:-|–|to)\s*(\d+) {unit}", r"\1 \3 ; \2 \3", plain)
    plain = re.sub(r"(\$[0-9.,]+)-(\$[0-9.,]+)", r"\1 ; \2", plain)
    if kind == "money":
        plain = re.sub(r"\b[A-Z]{3} (\d+)-(\d+)\b", r"\1 ; \2", plain)
        return re.sub(r"(?i)\btry (?=\d)", "try ; ", plain) if "TRY" not in plain else plain
    plain = re.sub(r"(?<![\d-])(\d+)-(\d+)(?![\d-])", r"\1 ; \2", plain)
    return re.sub(r"(\d+)-([a-z]+)", r"\1 ; \2", plain).replace("a million", "1000000")


def asked(phrases: list[Any], text: str) -> bool:
    """SPEC: "one of these stands in the request, whole words, `*` ends a stem"; of several lists, one of each."""
    if phrases and isinstance(phrases[0], list):
        return all(asked(group, text) for group in phrases)
    there = strings.words(text)
    for phrase in phrases:
        wanted = [((strings.words(word.removesuffix("*")) or ("",))[0], word.endswith("*")) for word in phrase.split()]
        for at in range(len(there) - len(wanted) + 1):
            if wanted and all(
                there[at + i].startswith(word) if stem else there[at + i] == word
                for i, (word, stem) in enumerate(wanted)
            ):
                return True
    return False


def day_of(kinds: tuple[str, ...], text: str) -> tuple[int, int, int] | None:
    """The one full date that a text is; for `today`. Two readings are none."""
    for kind in kinds:
        found = read(kind, text)
        day = found[0][1] if len(found) == 1 and found[0][0] == "datetime" else (found[0] if len(found) == 1 else None)
        if day is not None and day[0] == "date" and day[1] is not None:
            return day[1], day[2], day[3]
    return None


__all__ = ["asked", "day_of", "find", "times"]
