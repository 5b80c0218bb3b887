"""A root and a key that anybody can make: to try signing, and marked so that nobody takes its signature for one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reports.signing.keys import DEMONSTRATION_MARK
from wolfhound.errors import PlanError
from wolfhound.store import write_atomically

PASSWORD = "demonstration"
"""The password of every demonstration key: it guards nothing."""

_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class DemonstrationKey:
    """Where the files of a demonstration key lie: the key with its certificate, and the root to trust."""

    key: Path
    root: Path


def make_demonstration_key(folder: Path, *, now: datetime | None = None) -> DemonstrationKey:
    """Write demonstration-key.p12 and demonstration-root.pem into `folder` and return where they are.

    A fresh ECDSA P-256 root and a key that it certifies for a year from `now` (by default the present time).

    Raises:
        PlanError: the files are there already: a key is never overwritten.
    """
    made = DemonstrationKey(folder / "demonstration-key.p12", folder / "demonstration-root.pem")
    for path in (made.key, made.root):
        if path.exists():
            raise PlanError(f"expected no file at {path}, found one (a key is never overwritten; move it away first)")
    container, root = _generate(datetime.now(UTC) if now is None else now)
    write_atomically(made.root, root)
    write_atomically(made.key, container)
    made.key.chmod(0o600)
    return made


def _generate(now: datetime) -> tuple[bytes, bytes]:
    """Return the PKCS#12 bytes of a new key and the PEM of its root."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12

    root_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, own_name = _name("root"), _name("signer")
    root = _certificate(root_name, root_name, root_key.public_key(), root_key, now, authority=True)
    own = _certificate(own_name, root_name, own_key.public_key(), root_key, now, authority=False)
    container = pkcs12.serialize_key_and_certificates(
        b"wolfhound demonstration", own_key, own, [root], BestAvailableEncryption(PASSWORD.encode())
    )
    return container, root.public_bytes(Encoding.PEM)


def _name(role: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{DEMONSTRATION_MARK}, proves nothing ({role})")])


def _certificate(subject: Any, issuer: Any, public: Any, signing: Any, now: datetime, *, authority: bool) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, SHA256())
    )
