"""Addresses, names and words, plainly: SPEC, "Typed values"."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_LABEL = r"[^\s.@:/?#\[\]<>\"'(),;]+"
_PORTS = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}


def words(text: str) -> tuple[str, ...]:
    """SPEC: "case-folded words, punctuation at the ends of words stripped"."""
    out = []
    for word in unicodedata.normalize("NFC", text).split():
        bare = word.casefold().strip(_PUNCTUATION)
        if bare:
            out.append(bare)
    return tuple(out)


_PUNCTUATION = "".join(chr(code) for code in range(0x3000) if unicodedata.category(chr(code)).startswith("P"))


def email(text: str) -> list[tuple[Any, ...]]:
    """SPEC: "lower-cased domain and local part"."""
    match = re.fullmatch(rf"([^\s@<>\"(),:;\[\]]+)@({_LABEL}(?:\.{_LABEL})+)", text)
    if match is None or match[1].startswith(".") or match[1].endswith(".") or ".." in match[1]:
        return []
    return [("email", text.lower())]


def host(text: str) -> list[tuple[Any, ...]]:
    """A host name, lower-cased, without a dot at its end."""
    bare = text.lower().removesuffix(".")
    if re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", bare) is None:
        return []
    return [("host", bare)]


def url(text: str) -> list[tuple[Any, ...]]:
    """SPEC: "scheme/host lower-cased, default port and fragment dropped, no userinfo"."""
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]+)([^?#\s]*)(\?[^#\s]*)?(#\S*)?", text)
    if match is None or "@" in match[2] or "\\" in text:
        return []
    scheme, place = match[1].lower(), match[2].lower()
    name, _, port = place.partition(":")
    if not host(name) or (port and not re.fullmatch(r"[0-9]{1,5}", port)):
        return []
    place = name.removesuffix(".") + ("" if port in ("", _PORTS.get(scheme)) else f":{port}")
    return [("url", f"{scheme}://{place}{match[3] or '/'}{match[4] or ''}")]


def url_host(normal: str) -> str:
    """The host of a normal URL. SPEC: "derived: host"."""
    return normal.split("://", 1)[1].split("/", 1)[0].split(":", 1)[0]


def phone(text: str) -> list[tuple[Any, ...]]:
    """SPEC: "digits with leading +"."""
    if re.fullmatch(r"\+?[0-9 ().\-/  ]+", text) is None:
        return []
    digits = re.sub(r"[^0-9]", "", text)
    if not 5 <= len(digits) <= 15:
        return []
    return [("phone", ("+" if text.startswith("+") else "") + digits)]


def iban(text: str) -> list[tuple[Any, ...]]:
    """SPEC: "upper, no blanks, checksum" (ISO 13616: moved four to the back, modulo 97 is one)."""
    bare = re.sub(r"[\s ]", "", text).upper()
    if re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", bare) is None:
        return []
    turned = bare[4:] + bare[:4]
    if int("".join(str(int(char, 36)) for char in turned)) % 97 != 1:
        return []
    return [("iban", bare)]


def path(text: str) -> list[tuple[Any, ...]]:
    """SPEC: "`.`/`..` resolved, no escape"."""
    if "\0" in text:
        return []
    out: list[str] = []
    for part in text.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not out:
                return []
            out.pop()
        else:
            out.append(part)
    return [("path", ("/" if text.startswith("/") else "") + "/".join(out))]
