"""Addresses, names and words, plainly: SPEC, "Typed values"."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Any

Value = tuple[Any, ...]
_PORTS = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}
#: Signs that NFC turns into letters: they are not equal to what they imitate.
_IMITATE = "\u212a\u212b\u2126"
_PUNCTUATION = "".join(
    chr(code) for code in range(0x3000) if unicodedata.category(chr(code)).startswith("P") and chr(code) not in "#@%&·"
)


def nfc(text: str) -> str:
    """The text in NFC, but for signs that would become letters."""
    return "".join(
        part if part in _IMITATE else unicodedata.normalize("NFC", part)
        for part in re.split(f"([{_IMITATE}])", text)
        if part
    )


def unseen(text: str) -> bool:
    """Whether something in it is not seen: controls, zero width, marks of direction; or only imitates."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") or char in _IMITATE for char in text)


def fold(word: str) -> str:
    """Case folded letter by letter, so that no letter becomes two."""
    return "".join(
        char if char in _IMITATE or (len(char.casefold()) != 1 and len(char.lower()) != 1)
        else (char.casefold() if len(char.casefold()) == 1 else char.lower())
        for char in word
    )  # fmt: skip


def words(text: str) -> tuple[str, ...]:
    """SPEC: "case-folded words, punctuation at the ends of words stripped"."""
    out = []
    for word in nfc(text).split():
        bare = fold(word).strip(_PUNCTUATION + "<>").lstrip("#@" + _PUNCTUATION)
        if re.search(rf"-{re.escape(bare)}", word) and bare[:1].isdigit():
            bare = f"-{bare}"
        if bare:
            out.append(bare)
    return tuple(out)


#: Signs of an argument's word that are told apart: so many before it, so many behind it.
_BEFORE, _AFTER = 3, 2


def phrase(text: str) -> tuple[tuple[str, str, str], ...]:
    """The words of a text, each with the signs around it. A lone sign belongs to the word behind it, the last one to
    the word before.
    """
    out: list[tuple[str, str, str]] = []
    lone = ""
    for word in nfc(text).split():
        found = words(word)
        if not found:
            lone += word + " "
            continue
        folded = fold(word)
        at = folded.find(found[0])
        out.append((lone + folded[:at], found[0], folded[at + len(found[0]) :]))
        lone = ""
    if lone and out:
        before, word, after = out[-1]
        out[-1] = (before, word, f"{after} {lone}")
    return tuple(out)


def phrase_in(mine: tuple[tuple[str, str, str], ...], there: tuple[tuple[str, str, str], ...]) -> bool:
    """SPEC: "the argument's word sequence stands contiguously in the source's text": a source's signs may be left out,
    the argument's own may not.
    """
    if not mine or any(len(before) > _BEFORE or len(after) > _AFTER for before, _, after in mine):
        return False
    return any(
        all(
            word == other[1] and other[0].endswith(before) and other[2].startswith(after)
            for (before, word, after), other in zip(mine, there[at:], strict=False)
        )
        for at in range(len(there) - len(mine) + 1)
    )


def paths(text: str) -> list[str]:
    """Every whole token of a text that may be a path: `Makefile`, `.`."""
    out = []
    for piece in re.split(r"[\s<>\"`|“”„«»]+", nfc(text)):
        bare = piece if piece == "." else re.sub(r"['’]s$", "", piece.lstrip("([{'‘’*,;:!?").rstrip(".,;:!?'‘’*…)]}"))
        if bare == "." or (re.search(r"[^\W_]", bare) and "://" not in bare):
            out.append(bare)
    return out


def names(text: str) -> list[str]:
    """Every word of a text as an identifier, in its own case, without the punctuation around it."""
    out = []
    for piece in nfc(text).split():
        bare = piece.strip(_PUNCTUATION + "<>")
        out += [bare, *(bare[: -len(end)] for end in ("'s", "’s") if bare.endswith(end))]
    return [one for one in out if one and not unseen(one)]


_LITTLE = [
    "a",
    "about",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "here",
    "him",
    "his",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "me",
    "my",
    "no",
    "not",
    "of",
    "on",
    "or",
    "our",
    "please",
    "she",
    "so",
    "some",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "to",
    "us",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "will",
    "with",
    "would",
]
_ENDS = ["ations", "ation", "ings", "ing", "ions", "ion", "ies", "ied", "ie", "es", "ed", "s", "e", "y"]


def gist(text: str) -> tuple[str, ...]:
    """The words that carry meaning, without their English endings, each once."""
    out: list[str] = []
    for word in words(text):
        for part in re.split(r"[\x00-/:-@\[-`{-\x7f“”„‘’«»…–—¿¡•。、，]+", word):
            if part and part not in _LITTLE and not re.fullmatch(r"[a-z]", part):
                out.append(_base(part))
    return tuple(dict.fromkeys(out))


def _base(word: str) -> str:
    if not word.isalpha():
        return word
    for end in _ENDS:
        rest = word.removesuffix(end)
        if rest == word or len(rest) < 3 or (end == "s" and rest.endswith("s")):
            continue
        if end in ("ings", "ing", "ed") and rest[-1] == rest[-2] and rest[-1] not in "aeioulsz" and rest[-1].isascii():
            return rest[:-1]
        return rest
    return word


def email(text: str) -> list[Value]:
    """SPEC: "lower-cased domain and local part"; a name before `<…>` is no part of it."""
    if unseen(text):
        return []
    bare = text.removeprefix("mailto:")
    if match := re.fullmatch(r"([^<>@,;:]*)<([^<>\s]+)>", bare):
        bare = match[2]
    match = re.fullmatch(r"([^\s@<>\"(),:;\[\]=]+)@([^@]+)", bare)
    if match is None or match[1].startswith(".") or match[1].endswith(".") or ".." in match[1] or len(match[1]) > 64:
        return []
    name = host(match[2])
    if not name or match[2].endswith(".") or not re.search(r"\.[^\W\d_][\w-]*[^\W_]$", match[2]):
        return []
    return [("email", fold(bare))] if _combining(bare) else []


def _combining(text: str) -> bool:
    """No mark that stands on the letter before it, after NFC."""
    return not any(unicodedata.combining(char) for char in text)


def host(text: str) -> list[Value]:
    """A host name, lower-cased, without a dot at its end; or an IP address in its one form."""
    bare = fold(text).removesuffix(".")
    try:
        return [("host", str(ipaddress.ip_address(bare.removeprefix("[").removesuffix("]"))))]
    except ValueError:
        pass
    labels = bare.split(".")
    for label in labels:
        if not re.fullmatch(r"[^\W_](?:[\w-]*[^\W_])?|_[\w-]*[^\W_]", label):
            return []
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]) or unseen(bare):
        return []
    return [("host", without_www(bare))]


def without_www(name: str) -> str:
    """The site that a host with `www.` in front stands for."""
    return re.sub(r"^(www\.)+(?=[^.]+\.)", "", name)


def url(text: str) -> list[Value]:
    """SPEC: "scheme/host lower-cased, default port and fragment dropped, no userinfo"."""
    if unseen(text) or re.search(r"[\\|\"<>^`{}\s]", text):
        return []
    match = re.fullmatch(
        r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(\[[^\]]*\]|[^/?#:]+)(?::([0-9]*))?([^?#]*)(\?[^#]*)?(#.*)?", text
    )
    if match is None or "@" in match[2] or "@" in text.split("/", 3)[2 if "://" in text else 0]:
        return []
    scheme, name, port = (match[1] or "").lower(), host(match[2]), match[3] or ""
    if not name or (port and int(port) > 65535) or (match[4] and not match[4].startswith("/")):
        return []
    if not scheme and (not re.search(r"\.[^\W\d_]{2,}$", name[0][1]) or not (match[4] or match[2].startswith("www."))):
        return []
    place = f"[{name[0][1]}]" if ":" in name[0][1] else name[0][1]
    place += "" if port in ("", _PORTS.get(scheme)) else f":{port}"
    route = re.sub("%2e", ".", match[4], flags=re.IGNORECASE)
    route = re.sub("%[0-9a-f]{2}", lambda one: one[0].upper(), route, flags=re.IGNORECASE)
    parts: list[str] = []
    for part in route.split("/")[1:]:
        if part == ".." and parts:
            parts.pop()
        if part not in (".", ".."):
            parts.append(part)
    if route.endswith(("/.", "/..")):
        parts.append("")
    return [("url", f"{scheme}://{place}/{'/'.join(parts)}{match[5] or ''}".removeprefix("://"))]


def url_host(normal: str) -> str:
    """The host of a normal URL. SPEC: "derived: host"."""
    place = normal.split("://", 1)[-1].split("/", 1)[0]
    return place.split("]")[0][1:] if place.startswith("[") else place.split(":", 1)[0]


def phone(text: str) -> list[Value]:
    """SPEC: "digits with leading +"."""
    bare = re.sub(r"^(\+[0-9]{1,3} ?)\(0\) ?", r"\1", text.removeprefix("tel:"))
    if re.fullmatch(r"\+?(?:[0-9]|\([0-9 ]+\)|[ .\-/\u00a0](?=[0-9( ]))+", bare) is None:
        return []
    if re.fullmatch(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}", bare):
        return []
    digits = re.sub(r"[^0-9]", "", bare)
    if not 7 <= len(digits) <= 15:
        return []
    return [("phone", ("+" if bare.startswith("+") else "") + digits)]


def iban(text: str) -> list[Value]:
    """SPEC: "upper, no blanks, checksum" (ISO 13616: moved four to the back, modulo 97 is one)."""
    if re.search(r"\s", text) and re.fullmatch(r"\S{4}(?:\s\S{4})*(?:\s\S{1,4})?", text) is None:
        return []
    bare = re.sub(r"[\s\u00a0]", "", text).upper()
    if re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", bare) is None:
        return []
    turned = bare[4:] + bare[:4]
    if int("".join(str(int(char, 36)) for char in turned)) % 97 != 1:
        return []
    return [("iban", bare)]


def path(text: str) -> list[Value]:
    """SPEC: "`.`/`..` resolved, no escape"; both slashes part, and a drive is in capitals."""
    if unseen(text):
        return []
    bare, drive = text, ""
    if "\\" in text and not re.match(r"[A-Za-z]:", text):
        return []
    bare = text.replace("\\", "/")
    if match := re.match(r"([A-Za-z]):", bare):
        drive, bare = match[1].upper() + ":", bare[2:]
    root, out = bare.startswith("/"), []
    for part in bare.split("/"):
        if part != part.strip() or (part.endswith(":") and len(part) == 2):
            return []
        if part in ("", "."):
            continue
        if part == "..":
            if not out or out == ["~"]:
                return []
            out.pop()
        else:
            out.append(part)
    return [("path", drive + ("/" if root else "") + "/".join(out) or ".")]
