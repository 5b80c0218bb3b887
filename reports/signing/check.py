"""What a PDF's signature shows: whether the whole file is as it was signed, by which key, and whether it is trusted."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from reports.signing.container import container_check
from reports.signing.keys import DEMONSTRATION_MARK
from wolfhound.verification import Check


@dataclass(frozen=True)
class SignatureReport:
    """The checks of a PDF's signature.

    `certificates` are the SHA-256 digests of the certificates in it, the signer's own first; none where nobody signed.
    """

    checks: tuple[Check, ...]
    certificates: tuple[str, ...] = ()

    @property
    def covers_all(self) -> bool:
        """Whether a valid signature stands over every byte of the file."""
        return bool(self.checks) and all(check.ok is not False for check in self.checks)


def signature_report(data: bytes, *, roots: Sequence[Any] | None = None) -> SignatureReport:
    """Return every check of the signature of a PDF; no checks where the file has none.

    `roots` are the trusted root certificates (see `reports.signing.pades.load_roots`); without them the signer's
    identity stays unchecked, which the check says. Nothing is fetched.
    """
    from pyhanko.pdf_utils.reader import PdfFileReader

    with _quiet():
        try:
            reader = PdfFileReader(BytesIO(data))
            signatures = list(reader.embedded_regular_signatures)
            further = len(list(reader.embedded_timestamp_signatures))
        except Exception as error:  # a forged file may break the parser in any way, and each way is a failed check
            return SignatureReport((Check("signature", False, f"the file's signatures cannot be read: {error}"),))
        if not signatures and not further:
            return SignatureReport(())
        if len(signatures) != 1 or further:
            found = f"{len(signatures)} and {further} document time-stamps"
            return SignatureReport((Check("signature", False, f"expected one signature, found {found}"),))
        return _examined(data, signatures[0], roots)


def _examined(data: bytes, signature: Any, roots: Sequence[Any] | None) -> SignatureReport:
    try:
        status = _validated(signature, roots)
        name, fingerprint = _subject(signature.signer_cert), signature.signer_cert.sha256.hex()
        others = sorted(certificate.chosen.sha256.hex() for certificate in signature.signed_data["certificates"])
        checks = (
            _integrity(status, name, fingerprint),
            _coverage(status),
            container_check(data, signature),
            _permission(signature),
            _time(status),
            _identity(status, name, roots),
        )
    except Exception as error:  # as above: whatever a forged signature does to the validator, it is not valid
        return SignatureReport((Check("signature", False, f"the signature cannot be validated: {error!r}"),))
    return SignatureReport(checks, tuple(dict.fromkeys([fingerprint, *others])))


def _validated(signature: Any, roots: Sequence[Any] | None) -> Any:
    """Return pyHanko's verdict. Later revisions are not looked into: any byte after the signature is a fault here."""
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    context = ValidationContext(trust_roots=list(roots or ()), allow_fetching=False)
    return validate_pdf_signature(signature, context, skip_diff=True)


def _integrity(status: Any, name: str, fingerprint: str) -> Check:
    if status.intact and status.valid:
        return Check("signature", True, f"valid, by {name}, certificate SHA-256 {fingerprint}")
    what = "does not match the signed bytes" if not status.intact else "is not that of the certificate in it"
    return Check("signature", False, f"the signature {what}: the file was changed after it was signed")


def _coverage(status: Any) -> Check:
    from pyhanko.sign.validation.status import SignatureCoverageLevel

    name = "signature covers the whole file"
    if status.coverage == SignatureCoverageLevel.ENTIRE_FILE:
        return Check(name, True, "from the first byte to the last")
    return Check(name, False, "bytes were added after the signature, or lie outside of it")


def _permission(signature: Any) -> Check:
    from pyhanko.sign.fields import MDPPerm

    fixed = signature.docmdp_level == MDPPerm.NO_CHANGES
    detail = "the signature permits no later change" if fixed else "the signature does not forbid later changes"
    return Check("signature forbids changes", fixed, detail)


def _time(status: Any) -> Check:
    stamp = status.timestamp_validity
    if stamp is None:
        claimed = status.signer_reported_dt
        told = "no time" if claimed is None else claimed.isoformat()
        return Check("signing time", None, f"no time-stamp; the signer's own clock said {told}")
    if not (stamp.intact and stamp.valid):
        return Check("signing time", False, "the time-stamp on the signature is not valid")
    by = _subject(stamp.signing_cert)
    return Check("signing time", True if stamp.trusted else None, f"time-stamped {stamp.timestamp.isoformat()} by {by}")


def _identity(status: Any, name: str, roots: Sequence[Any] | None) -> Check:
    if DEMONSTRATION_MARK in name:
        return Check("signer", None, f"{name}: anybody can make such a key, so it says nothing about who signed")
    if roots is None:
        return Check("signer", None, f"{name}: not checked (give the root that you trust: --trust ROOT.pem)")
    if status.bottom_line:
        return Check("signer", True, f"{name}: certified by a trusted root")
    return Check("signer", False, f"{name}: not certified by a trusted root, or no longer valid ({status.summary()})")


def _subject(certificate: Any) -> str:
    return str(certificate.subject.native.get("common_name", certificate.subject.human_friendly))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pyHanko's own log lines away: each of its findings becomes a check."""
    loggers = [logging.getLogger(name) for name in ("pyhanko", "pyhanko_certvalidator")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
