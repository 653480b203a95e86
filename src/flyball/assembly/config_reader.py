"""Reading one field of the configuration: from the environment, else the file, else its default.

No method raises: each notes what is wrong with its place, so that all faults are told at once.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from flyball.assembly.config_values import split_address
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table

PREFIX = "FLYBALL_"
_DURATION = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZE = re.compile(r"([1-9][0-9]{0,9})(|KiB|MiB|GiB)")
_SCALE = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Reader:
    """One map of the file (`section` is its name, empty for the whole), with the environment over it."""

    def __init__(
        self, section: str, node: Node | None, *, env: Mapping[str, str], base: Path, problems: Problems, mark: Mark
    ) -> None:
        self._section = section
        self._entries = node.entries if isinstance(node, Table) else {}
        self._env = env
        self._base = base
        self._problems = problems
        self._mark = mark if node is None else node.mark
        if node is not None and not isinstance(node, Table) and not _is_null(node):
            problems.error("wrong_shape", node.mark, f"`{section or 'the file'}` must be a map of fields")

    def section(self, name: str) -> Reader:
        """A section of the file."""
        entry = self._entries.get(name)
        node = entry[1] if entry else None
        return Reader(name, node, env=self._env, base=self._base, problems=self._problems, mark=self._mark)

    def refuse_unknown(self, known: set[str], not_settings: frozenset[str]) -> None:
        """Note every key of the file, and every variable of a known section, that is no field. For the whole file."""
        sections = {name.partition(".")[0] for name in known if "." in name}
        top = {name for name in known if "." not in name} | sections
        for key, (mark, node) in self._entries.items():
            if key not in top:
                self._unknown(key, mark, top)
            elif key in sections and isinstance(node, Table):
                inside = {name.partition(".")[2] for name in known if name.startswith(f"{key}.")}
                for inner, (inner_mark, _) in node.entries.items():
                    if inner not in inside:
                        self._unknown(f"{key}.{inner}", inner_mark, {f"{key}.{name}" for name in inside})
        variables = {PREFIX + name.replace(".", "_").upper() for name in known}
        for variable in self._env:
            # Others' variables may share our prefix; one that begins like a section of ours is meant for us.
            ours = variable.startswith(tuple(f"{PREFIX}{name.upper()}_" for name in sections))
            if ours and variable not in variables and variable not in not_settings:
                hint = did_you_mean(variable, variables)
                self._problems.error("unknown_key", Mark("environment"), f"no field is set by {variable}", hint)

    def _unknown(self, key: str, mark: Mark, known: set[str]) -> None:
        self._problems.error("unknown_key", mark, f"there is no field `{key}`", did_you_mean(key, known), len(key))

    def _raw(self, name: str) -> tuple[str, Mark, Path] | None:
        """The source text of a field, where it stands, and what a path in it is relative to."""
        variable = PREFIX + "_".join(part for part in (self._section, name) if part).upper()
        if variable in self._env:
            return self._env[variable], Mark(f"environment {variable}"), Path.cwd()
        entry = self._entries.get(name)
        if entry is None or _is_null(entry[1]):
            return None
        node = entry[1]
        if not isinstance(node, Scalar):
            self._problems.error("wrong_shape", node.mark, f"`{self._full(name)}` must be a single value")
            return None
        return node.text, node.mark, self._base

    def _full(self, name: str) -> str:
        return f"{self._section}.{name}" if self._section else name

    def _refuse(self, name: str, mark: Mark, wanted: str, hint: str = "") -> None:
        self._problems.error("wrong_value", mark, f"`{self._full(name)}` must be {wanted}", hint)

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        raw = self._raw(name)
        if raw is None:
            return default
        if raw[0] not in choices:
            self._refuse(name, raw[1], "one of " + ", ".join(choices), did_you_mean(raw[0], choices))
            return default
        return raw[0]

    def name(self, name: str, default: str, pattern: re.Pattern[str]) -> str:
        """A short name."""
        raw = self._raw(name)
        if raw is None:
            return default
        if pattern.fullmatch(raw[0]) is None:
            self._refuse(name, raw[1], f"a name that matches {pattern.pattern}")
            return default
        return raw[0]

    def url(self, name: str, default: str) -> str:
        """An https URL without query (http only to loopback); without a slash at its end."""
        raw = self._raw(name)
        if raw is None:
            return default
        text = raw[0].rstrip("/")
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
            local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        except ValueError:
            usable = local = False
            parts = urlsplit("")
        plain = parts.scheme == "http" and not local
        strange = "?" in text or "#" in text or "@" in text or not text.isascii() or not text.isprintable()
        if text and (not usable or plain or strange):
            self._refuse(name, raw[1], "an https URL", "http is taken for 127.0.0.1 and localhost only")
            return default
        return text

    def path(self, name: str, default: Path) -> Path:
        """A path, relative to the file's folder (to the working directory where the environment gives it)."""
        return self.optional_path(name, default) or (self._base / default)

    def optional_path(self, name: str, default: Path | None) -> Path | None:
        """The same, or None where it is set to nothing (`""`)."""
        raw = self._raw(name)
        if raw is None:
            return None if default is None else (self._base / default)
        if "\0" in raw[0]:
            self._refuse(name, raw[1], "a path")
            return default
        return (raw[2] / Path(raw[0]).expanduser()) if raw[0] else None

    def command(self, name: str) -> tuple[str, ...]:
        """A program, by an absolute path, and its arguments: a list, or one line with quotes as in a shell."""
        raw, full = None, self._full(name)
        entry = self._entries.get(name)
        variable = PREFIX + full.replace(".", "_").upper()
        if variable not in self._env and entry is not None and isinstance(entry[1], Listing):
            items, mark = entry[1].items, entry[1].mark
            words = [item.text for item in items if isinstance(item, Scalar)]
            if len(words) != len(items):
                words = []
        else:
            raw = self._raw(name)
            if raw is None:
                return ()
            mark = raw[1]
            try:
                words = shlex.split(raw[0])
            except ValueError:
                words = []
            if not raw[0]:
                return ()
        if not words or not words[0].startswith("/") or any("\0" in word for word in words):
            self._refuse(name, mark, "a program's absolute path and its arguments", "for example [/usr/bin/age, -d]")
            return ()
        return tuple(words)

    def refuse_beside(self, name: str, why: str) -> None:
        """Note that a field is set which may not be."""
        raw = self._raw(name)
        if raw is not None:
            self._problems.error(
                "two_sources", raw[1], f"`{self._full(name)}` is set, and {why}", "keep one of the two"
            )

    def address(self, name: str, default: str) -> str:
        """`host:port`, or empty for none."""
        raw = self._raw(name)
        if raw is None:
            return default
        if raw[0]:
            try:
                split_address(raw[0])
            except ValueError:
                self._refuse(name, raw[1], "`host:port`", 'for example 127.0.0.1:7611; "" for none')
                return default
        return raw[0]

    def octal(self, name: str, default: int) -> int:
        """A file mode such as 0660. No mode lets everybody write: the owner and the group at most."""
        raw = self._raw(name)
        if raw is None:
            return default
        if re.fullmatch(r"0?[0-6][0-6]0", raw[0]) is None:
            self._refuse(name, raw[1], "a mode such as 0600 or 0660", "others than owner and group are never let in")
            return default
        return int(raw[0], 8)

    def size(self, name: str, default: int, *, least: int, most: int) -> int:
        """A number of bytes, such as 65536, 64KiB or 8MiB."""
        raw = self._raw(name)
        if raw is None:
            return default
        match = _SIZE.fullmatch(raw[0])
        value = int(match.group(1)) * _SCALE[match.group(2)] if match else -1
        if not least <= value <= most:
            self._refuse(name, raw[1], f"a size from {least} to {most} bytes", "for example 65536, 64KiB, 8MiB")
            return default
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number."""
        raw = self._raw(name)
        if raw is None:
            return default
        value = int(raw[0]) if re.fullmatch(r"[0-9]{1,9}", raw[0]) else -1
        if not least <= value <= most:
            self._refuse(name, raw[1], f"a whole number from {least} to {most}")
            return default
        return value

    def duration(self, name: str, default: int, *, least: int, most: int) -> int:
        """A time such as `500ms`, `5s`, `15m`, in milliseconds."""
        raw = self._raw(name)
        if raw is None:
            return default
        match = _DURATION.fullmatch(raw[0])
        value = int(match.group(1)) * _UNITS[match.group(2)] if match else -1
        if not least <= value <= most:
            self._refuse(name, raw[1], f"a time from {least} to {most} ms", "write the unit: 500ms, 5s, 15m, 1h")
            return default
        return value


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind is Kind.NULL
