"""What needs no running server: a bundle's checks, and the verification of evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from flyball.audit import verify as audit_verify
from flyball.audit.anchor import Anchor
from flyball.audit.checkpoint import NoteVerifier
from flyball.enforcement.mcp import observation
from flyball.identity import jose
from flyball.kernel.errors import ConfigError, InvalidInput
from flyball.kernel.json import Json, parse, parse_object
from flyball.policy import bundle_tests
from flyball.policy.case_report import Report
from flyball.policy.compile import load_bundle
from flyball.policy.diagnostics import BundleRefused, Diagnostic
from flyball.policy.draft import draft_files, draft_notes, framed
from flyball.policy.lint import Cooperative
from flyball.revocation import receipts


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What `flyball validate` found. `cooperative` lists, by profile, what rests on the agent's cooperation."""

    ok: bool
    name: str
    digest: str
    diagnostics: tuple[Diagnostic, ...]
    cooperative: Mapping[str, tuple[Cooperative, ...]]

    def as_json(self) -> dict[str, Json]:
        """The same for a machine."""
        return {
            "ok": self.ok,
            "name": self.name,
            "digest": self.digest,
            "diagnostics": [found.as_json() for found in self.diagnostics],
            "cooperative": {name: [one.as_json() for one in found] for name, found in self.cooperative.items()},
        }


def validate_bundle(path: Path) -> BundleReport:
    """Read, compile and lint a bundle. Every problem is in the report, not only the first.

    Raises:
        ConfigError: there is no such folder, or it cannot be read.
    """
    try:
        compiled = load_bundle(path)
    except BundleRefused as refused:
        return BundleReport(False, path.name, "", refused.diagnostics, {})
    return BundleReport(True, compiled.bundle.name, compiled.digest, compiled.diagnostics, compiled.cooperative)


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft: texts by their paths in a bundle, the same with a bundle.yaml around them, and what to know of it."""

    files: Mapping[str, str]
    framed: Mapping[str, str]
    notes: tuple[str, ...]


def draft_profile(name: str, *, schemas: Sequence[Path], stories: Sequence[Mapping[str, Json]]) -> Drafted:
    """A profile to begin with, and from schemas a tool sheet, with marks where a person must decide.

    Args:
        name: the profile's name.
        schemas: files of tool schemas, or what `flyball mcp --observe` recorded; a file's name stands for its server.
        stories: reviewed tasks, as `flyball.flow.story` tells them.

    Raises:
        InvalidInput: there is nothing in it to draft from.
        ConfigError: the file cannot be read.
    """
    loaded: dict[str, Json] = {}
    for path in schemas:
        try:
            raw = path.read_bytes()
            if observation.is_recording(raw):
                loaded[str(path)], seen = observation.read(raw)
                stories = [*stories, seen]
            else:
                loaded[str(path)] = parse(raw)
        except OSError as fault:
            raise ConfigError(f"cannot read {path}: {fault.strerror}") from fault
        except ValueError as fault:
            raise InvalidInput(
                f"{path} is not JSON", hint="a list of tool schemas, as `tools/list` gives it, or a recording"
            ) from fault
    servers: Json = {Path(path).stem: one for path, one in loaded.items()}
    if len(loaded) != len({Path(path).stem for path in loaded}):
        servers = [*loaded.values()]
    told = servers if loaded else None
    files = draft_files(name, schemas=told, stories=stories)
    return Drafted(files, framed(name, files), draft_notes(told) if loaded else ())


def test_bundle(path: Path, records: Callable[[], AbstractContextManager[bundle_tests.Records]] | None) -> Report:
    """Run a bundle's own cases on the real decision plane.

    Args:
        records: makes a store for one case, so that a case that fails can be explained; None to go without.

    Raises:
        BundleRefused: the bundle is not sound.
    """
    return bundle_tests.run_bundle_tests(load_bundle(path), records)


def verify_audit(store: Path, *, anchor: Path | None, keys: Path | None) -> audit_verify.Report:
    """Verify a store's chain, its checkpoints and, where an anchor is named, that nothing was cut or rewritten.

    Raises:
        ConfigError: the anchor or the file of public keys cannot be read.
    """
    anchored = None if anchor is None else Anchor(anchor).read()
    verifiers = () if keys is None else tuple(NoteVerifier.parse(text) for text in _texts(keys, "checkpoint_keys"))
    return audit_verify.verify_store(store, anchored, verifiers)


def _texts(file: Path, member: str) -> list[str]:
    try:
        document = parse_object(file.read_text())
    except (OSError, ValueError) as fault:
        raise ConfigError(f"cannot read the public keys in {file}: {fault}", code="public_keys") from fault
    listed = document.get(member)
    return [str(one) for one in listed] if isinstance(listed, list) else []


def verify_receipt(file: Path, keys: Path) -> dict[str, Json]:
    """Verify a receipt (DSSE) against a file of public keys; its payload.

    Raises:
        InvalidInput: the signature does not hold, or it is no receipt.
        ConfigError: a file cannot be read.
    """
    try:
        envelope = parse_object(file.read_text())
        document = parse_object(keys.read_text())
    except OSError as fault:
        raise ConfigError(f"cannot read {fault.filename}: {fault.strerror}") from fault
    except ValueError as fault:
        raise InvalidInput("that file is not JSON", hint="export one with `flyball receipts show ID --json`") from fault
    listed = document.get("receipt_keys")
    jwks = listed.get("keys") if isinstance(listed, dict) else None
    public = [jose.read_jwk(one).key for one in jwks if isinstance(one, dict)] if isinstance(jwks, list) else []
    inner = envelope.get("envelope")
    return receipts.verify(
        inner if isinstance(inner, dict) else envelope, [key for key in public if isinstance(key, Ed25519PublicKey)]
    )
