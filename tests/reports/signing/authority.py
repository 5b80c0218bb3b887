"""A certificate authority, its revocation list and a time-stamp authority of a test's own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PASSWORD = "secret"
KINDS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Leaf:
    """A key with the certificate that the authority gave it."""

    private: Any
    certificate: x509.Certificate

    def container(self, folder: Path, *, password: str = PASSWORD) -> Path:
        """Write it as PKCS#12."""
        path = folder / "key.p12"
        encryption = BestAvailableEncryption(password.encode())
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"k", self.private, self.certificate, None, encryption))
        return path

    def pem(self, folder: Path, *, with_certificate: bool) -> Path:
        """Write it as PEM, unencrypted."""
        path = folder / "key.pem"
        own = self.certificate.public_bytes(Encoding.PEM) if with_certificate else b""
        path.write_bytes(self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + own)
        return path


class Authority:
    """A root that certifies keys for signing and for time-stamping, and lists nothing as revoked."""

    def __init__(self, name: str = "Test Root") -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._certify(self.name, self.private.public_key(), authority=True)

    def leaf(self, name: str, *, kind: str = "ecdsa", stamping: bool = False) -> Leaf:
        """Return a new certified key."""
        private = KINDS[kind]()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return Leaf(private, self._certify(subject, private.public_key(), stamping=stamping))

    def root(self, folder: Path) -> Path:
        """Write the root as PEM."""
        path = folder / "root.pem"
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def revocations(self) -> bytes:
        """Return an empty revocation list (DER)."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=30))
        return builder.sign(self.private, SHA256()).public_bytes(Encoding.DER)

    def _certify(
        self, subject: x509.Name, public: Any, *, authority: bool = False, stamping: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        flags = dict.fromkeys(
            ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
        )
        usage = x509.KeyUsage(
            digital_signature=not authority,
            content_commitment=not authority,
            key_cert_sign=authority,
            crl_sign=authority,
            **flags,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        if stamping:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        return builder.sign(self.private, SHA256())
