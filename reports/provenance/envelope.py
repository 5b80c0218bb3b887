"""A DSSE envelope: the statement and a signature over it, in a form that openssl alone can check.

Dead Simple Signing Envelope, version 1 (https://github.com/secure-systems-lab/dsse): what is signed is not the payload
itself but its pre-authentication encoding, so that a signature on one type of document is none on another.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from reports.provenance.statement import PAYLOAD_TYPE
from reports.signing.keys import SigningKey

NAME = "statement.dsse.json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: "DSSEv1", and type and payload, each after its length.

    >>> pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_bytes(payload: bytes, key: SigningKey) -> bytes:
    """Return the envelope of a statement as JSON, one member a line, signed by `key` (its certificate is added)."""
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key.fingerprint,
                "sig": base64.b64encode(signature).decode(),
                "cert": key.certificate_pem.decode(),
            }
        ],
    }
    return json.dumps(envelope, indent=1).encode() + b"\n"


@dataclass(frozen=True)
class Opened:
    """What an envelope says of itself: its payload, and whether the certificate in it signed it.

    Attributes:
        payload: the statement's bytes.
        valid: whether the signature is that of the certificate on this payload.
        name: the certificate's common name.
        fingerprint: SHA-256 of the certificate (DER), hex.
    """

    payload: bytes
    valid: bool
    name: str
    fingerprint: str


def open_envelope(data: bytes) -> Opened:
    """Return what an envelope holds. Who owns the certificate is another question: compare its fingerprint.

    Raises:
        ValueError: no envelope of a statement with one signature and its certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        envelope = json.loads(data)
        (entry,) = envelope["signatures"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(entry["sig"], validate=True)
        certificate = x509.load_pem_x509_certificate(entry["cert"].encode())
        kind = envelope["payloadType"]
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError) as error:
        raise ValueError(f"expected a DSSE envelope with one signature and its certificate, but: {error!r}") from error
    if kind != PAYLOAD_TYPE:
        raise ValueError(f"expected the payload type {PAYLOAD_TYPE}, got {kind!r}")
    name = certificate.subject.rfc4514_string()
    signed = pre_authentication_encoding(kind, payload)
    valid = _valid(certificate.public_key(), signature, signed)
    return Opened(payload, valid, name, certificate.fingerprint(SHA256()).hex())


def _valid(public: Any, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, signed, padding.PKCS1v15(), SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, signed, ec.ECDSA(SHA256()))
        else:
            public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def openssl_commands(algorithm: str) -> tuple[str, ...]:
    """Return the commands that check an envelope `statement.dsse.json` with openssl and the usual tools alone."""
    member = 'sed -n \'s/^ *"{}": "\\(.*\\)",*$/\\1/p\' ' + NAME
    verify = (
        "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in signed -sigfile signature"
        if algorithm.startswith("ed")
        else "openssl dgst -sha256 -verify key.pem -signature signature signed"
    )
    return (
        f"{member.format('payload')} | openssl base64 -d -A > statement.json",
        f"{member.format('sig')} | openssl base64 -d -A > signature",
        f"printf '%b' \"$({member.format('cert')})\" | openssl x509 -noout -pubkey > key.pem",
        f"(printf 'DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} %s ' \"$(wc -c < statement.json | tr -d ' ')\"; "
        "cat statement.json) > signed",
        verify,
    )
