"""The user's signing key, from a PKCS#12 or PEM file, or in a PKCS#11 token that never gives it away."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wolfhound.errors import PlanError

DEMONSTRATION_MARK = "DEMONSTRATION KEY"
"""Stands in the name of every certificate that `wolfhound keys demo` makes, and is looked for in every signature."""

_CONTAINERS = (".p12", ".pfx")


@dataclass(frozen=True, eq=False)
class SigningKey:
    """A key that can sign, with its certificate.

    Attributes:
        signer: pyHanko's signer; the only thing that touches the private key.
        name: the common name of the certificate's subject.
        fingerprint: SHA-256 of the certificate (DER), hex.
        algorithm: "rsa", "ecdsa", "ed25519" or "ed448".
        certificate_pem: the certificate, for whoever checks a signature with other tools.
        chain: SHA-256 (hex) of the further certificates that a signature will carry, in order.
    """

    signer: Any
    name: str
    fingerprint: str
    algorithm: str
    certificate_pem: bytes
    chain: tuple[str, ...] = ()

    @property
    def demonstration(self) -> bool:
        """Whether the key is one that `wolfhound keys demo` made."""
        return DEMONSTRATION_MARK in self.name

    def sign(self, data: bytes) -> bytes:
        """Return the raw signature of `data` with SHA-256 (RSA: PKCS #1 v1.5; ECDSA: DER; Ed25519 and Ed448: pure)."""
        digest = "sha512" if self.algorithm.startswith("ed") else "sha256"
        signature: bytes = asyncio.run(self.signer.async_sign_raw(data, digest))
        return signature


def load_key(
    path: Path, *, certificate: Path | None = None, chain: Sequence[Path] = (), password: str | None = None
) -> SigningKey:
    """Return the key of a PKCS#12 file (.p12, .pfx), or of a PEM file whose certificate is in it or in `certificate`.

    `chain` names PEM files of certificates between the key's own and its root.

    Raises:
        PlanError: a missing or unreadable file, a wrong or missing password, no certificate, or one of another key.
    """
    data = _read(path)
    secret = None if password is None else password.encode()
    private, own, further = (_from_container if path.suffix.lower() in _CONTAINERS else _from_pem)(path, data, secret)
    if certificate is not None:
        own, *others = _certificates(certificate)
        further = [*further, *others]
    if own is None:
        raise PlanError(f"{path}: expected a certificate beside the key, found none (name its file: --certificate)")
    if private.public_key() != own.public_key():
        raise PlanError(f"{path}: expected the certificate of this key, got one of another key ({_common_name(own)})")
    for file in chain:
        further = [*further, *_certificates(file)]
    return _signing_key(private, own, further)


def load_token(module: Path, *, token: str, label: str, pin: str | None = None) -> SigningKey:
    """Return the key `label` of a PKCS#11 token; the private key stays in it.

    Raises:
        PlanError: python-pkcs11 is not installed, or the token, key or certificate is not there.
    """
    try:
        from pyhanko.config.pkcs11 import TokenCriteria
        from pyhanko.sign.pkcs11 import PKCS11Signer, open_pkcs11_session
    except ImportError as error:
        raise PlanError(
            "expected the package python-pkcs11 for a PKCS#11 token, found none (pip install 'wolfhound[pkcs11]')"
        ) from error
    try:
        session = open_pkcs11_session(str(module), token_criteria=TokenCriteria(label=token), user_pin=pin)
        signer = PKCS11Signer(session, cert_label=label, key_label=label)
        own = signer.signing_cert
    except Exception as error:  # the driver of a token may fail in any way; what it says is all there is to know
        reason = str(error) or type(error).__name__
        raise PlanError(f"expected the key {label!r} in the PKCS#11 token {token!r}, but: {reason}") from error
    return _described(signer, _x509().load_der_x509_certificate(own.dump()))


def _signing_key(private: Any, own: Any, further: Sequence[Any]) -> SigningKey:
    from asn1crypto import keys as asn1_keys
    from asn1crypto import x509 as asn1_x509
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from pyhanko.sign.signers import SimpleSigner
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    def converted(certificate: Any) -> Any:
        return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))

    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register_multiple([converted(certificate) for certificate in further])
    return _described(SimpleSigner(converted(own), asn1_keys.PrivateKeyInfo.load(plain), store), own)


def _described(signer: Any, own: Any) -> SigningKey:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    fingerprint = own.fingerprint(SHA256()).hex()
    return SigningKey(
        signer=signer,
        name=_common_name(own),
        fingerprint=fingerprint,
        algorithm=_algorithm(own.public_key()),
        certificate_pem=own.public_bytes(Encoding.PEM),
        chain=tuple(sorted({other.sha256.hex() for other in signer.cert_registry} - {fingerprint})),
    )


def _algorithm(public: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    kinds = {
        "rsa": rsa.RSAPublicKey,
        "ecdsa": ec.EllipticCurvePublicKey,
        "ed25519": ed25519.Ed25519PublicKey,
        "ed448": ed448.Ed448PublicKey,
    }
    for name, kind in kinds.items():
        if isinstance(public, kind):
            return name
    raise PlanError(f"expected a key of {', '.join(kinds)}, got {type(public).__name__}")


def _common_name(certificate: Any) -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else str(certificate.subject.rfc4514_string())


def _from_container(path: Path, data: bytes, password: bytes | None) -> tuple[Any, Any, list[Any]]:
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    try:
        content = load_pkcs12(data, password)
    except ValueError as error:
        raise PlanError(f"{path}: expected a PKCS#12 file and its password, but: {error} ({_PASSWORD})") from error
    if content.key is None:
        raise PlanError(f"{path}: expected a private key in the PKCS#12 file, found none")
    own = None if content.cert is None else content.cert.certificate
    return content.key, own, [extra.certificate for extra in content.additional_certs]


def _from_pem(path: Path, data: bytes, password: bytes | None) -> tuple[Any, Any, list[Any]]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(data, password)
    except (ValueError, TypeError) as error:
        raise PlanError(
            f"{path}: expected a private key in PEM and its password, but: {error} ({_PASSWORD})"
        ) from error
    own, *further = _x509().load_pem_x509_certificates(data) if b"BEGIN CERTIFICATE" in data else [None]
    return private, own, further


_PASSWORD = "the password is read from WOLFHOUND_KEY_PASSWORD"


def _certificates(path: Path) -> list[Any]:
    try:
        return list(_x509().load_pem_x509_certificates(_read(path)))
    except ValueError as error:
        raise PlanError(f"{path}: expected certificates in PEM, but: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlanError(f"expected a key or certificate at {path}, but: {error.strerror}") from error


def _x509() -> Any:
    from cryptography import x509

    return x509
