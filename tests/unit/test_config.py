"""The configuration: one documented file, the environment over it, nothing unknown taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.assembly import config
from flyball.assembly.config import ConfigRefused
from flyball.kernel.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> Path:
    file = folder / "flyball.yaml"
    file.write_text(text)
    return file


def refused(folder: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigRefused) as fault:
        config.load(write(folder, text), env or {})
    return [found.render() for found in fault.value.diagnostics]


def test_every_field_is_described_in_the_documents() -> None:
    """docs/configuration.md names every field and its variable; a new field without a line there fails here."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    missing = [name for name in config.all_fields() if f"`{name}`" not in page]
    assert missing == []
    unset = [name for name in config.all_fields() if f"`FLYBALL_{name.replace('.', '_').upper()}`" not in page]
    assert unset == []


def test_nothing_is_needed_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no file and no variable there is a whole configuration for development, on loopback."""
    monkeypatch.chdir(tmp_path)
    loaded = config.load(None, {})
    assert loaded.file is None
    assert loaded.mode == "dev"
    assert loaded.control.listen.startswith("127.0.0.1:")
    assert loaded.state_dir == tmp_path / ".flyball"
    assert loaded.control.unix == tmp_path / ".flyball" / "control.sock"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """A path in the file is found from the file's own folder, wherever the process was started."""
    loaded = config.load(write(tmp_path, "state_dir: state\nbundle: ../bundle\n"), {})
    assert loaded.state_dir == tmp_path / "state"
    assert loaded.bundle == tmp_path / ".." / "bundle"
    assert loaded.keys_dir == tmp_path / "state" / "keys"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """FLYBALL_<SECTION>_<FIELD> overrides the file's field."""
    file = write(tmp_path, "control: {listen: 127.0.0.1:1}\ntiming: {sweep: 10s}\n")
    loaded = config.load(file, {"FLYBALL_CONTROL_LISTEN": "127.0.0.1:2", "FLYBALL_TIMING_SWEEP": "1m"})
    assert loaded.control.listen == "127.0.0.1:2"
    assert loaded.timing.sweep_ms == 60_000


def test_unknown_fields_are_refused_with_the_nearest_known(tmp_path: Path) -> None:
    """A misspelt safeguard is an error that says where it stands and what was meant."""
    told = refused(tmp_path, "mod: production\ncontrol:\n  tls_sert: a.pem\n")
    assert any("flyball.yaml:1:1" in one and "did you mean `mode`" in one for one in told)
    assert any("flyball.yaml:3:3" in one and "did you mean `control.tls_cert`" in one for one in told)


def test_unknown_variables_of_a_section_are_refused(tmp_path: Path) -> None:
    """FLYBALL_CONTROL_LISTN is meant for us and sets nothing: an error. Another's variable is left alone."""
    told = refused(tmp_path, "mode: dev\n", {"FLYBALL_CONTROL_LISTN": "x", "FLYBALL_ADDR": "http://x"})
    assert len(told) == 1
    assert "FLYBALL_CONTROL_LISTEN" in told[0]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Three wrong values give three findings, not the first alone."""
    told = refused(tmp_path, "mode: prod\ncontrol: {max_body: 1, unix_mode: 0666}\n")
    assert len(told) == 3


@pytest.mark.parametrize(
    "text",
    [
        "control: {listen: 0.0.0.0:7611}",
        "decision: {listen: '[::]:7612'}",
        "control: {listen: '', unix: ''}",
        "control: {tls_cert: a.pem}",
        "decision: {client_ca: ca.pem}",
        "ext_authz: {listen: 0.0.0.0:7613}",
        "ext_authz: {listen: 127.0.0.1:7613, client_ca: ca.pem}",
        "ext_authz: {unix: a.sock, tls_key: a.key}",
        "ext_authz: {unix: a.sock, principal: maybe}",
        "mode: production",
        "issuer: http://flyball.example",
        "issuer: https://user@flyball.example",
        "cell: UPPER",
        "journal: {size: 1KiB}",
        "timing: {sweep: 5}",
        "state_dir: [a]",
        "control: [a]",
        "- a",
        "mode: dev\nmode: production",
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    """Plain HTTP to other machines, half of a TLS pair, no issuer in production, wrong shapes."""
    assert refused(tmp_path, text + "\n")


def test_production_refuses_keys_open_to_others(tmp_path: Path) -> None:
    """A key that others may read is no key; in production the configuration is refused before it is used."""
    key = tmp_path / "seal.key"
    key.write_bytes(b"x" * 32)
    key.chmod(0o644)
    text = "mode: production\nissuer: https://flyball.example\nseal_key: seal.key\n"
    assert any("open to other users (0644)" in one for one in refused(tmp_path, text))
    key.chmod(0o600)
    assert config.load(write(tmp_path, text), {}).mode == "production"


def test_production_refuses_what_is_only_for_trying_out(tmp_path: Path) -> None:
    """A memory target or a development trust domain ends a production start, and neither troubles a dev one."""
    production = config.load(write(tmp_path, "mode: production\nissuer: https://flyball.example\n"), {})
    with pytest.raises(ConfigError, match="only in memory"):
        config.require_production_ready(production, connectors={"orders": "memory"}, dev_domains=frozenset())
    with pytest.raises(ConfigError, match="development trust domains"):
        config.require_production_ready(production, connectors={}, dev_domains=frozenset({"flyball.dev"}))
    config.require_production_ready(production, connectors={"orders": "postgresql"}, dev_domains=frozenset())
    dev = config.load(write(tmp_path, "mode: dev\n"), {})
    config.require_production_ready(dev, connectors={"orders": "memory"}, dev_domains=frozenset({"flyball.dev"}))


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """Defaults are never taken in place of a file that somebody named."""
    with pytest.raises(ConfigError, match="no configuration file"):
        config.load(tmp_path / "absent.yaml", {})
    with pytest.raises(ConfigError, match="no configuration file"):
        config.load(None, {"FLYBALL_CONFIG": str(tmp_path / "absent.yaml")})


def test_a_socket_path_too_long_for_the_kernel_is_said_at_once(tmp_path: Path) -> None:
    """The kernel's limit of 107 bytes is told as a configuration's fault, with the field's name."""
    told = refused(tmp_path, f"control: {{unix: /{'a' * 120}}}\n")
    assert any("control.unix" in one for one in told)
