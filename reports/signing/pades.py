"""PAdES signatures (ETSI EN 319 142) by pyHanko: invisible, certifying, and allowing no later change of the report."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from reports.signing.keys import SigningKey
from wolfhound.errors import EvidenceError, PlanError

FIELD = "WolfhoundSignature"
REASON = "Evidence of an audit: integrity and origin of this file, not the truth of its content"


@dataclass(frozen=True, eq=False)
class TimeStamping:
    """An RFC 3161 time-stamp on the signature, and whether what later validation needs is embedded (PAdES B-LT).

    Attributes:
        stamper: pyHanko's time stamper.
        roots: the roots (asn1crypto certificates) that key and time-stamp authority lead to; for long-term validation.
        revocations: revocation lists (DER), where they are known beforehand; else they are fetched.
        long_term: embed certificates and revocation data, in the same revision as the signature.
    """

    stamper: Any
    roots: tuple[Any, ...] = ()
    revocations: tuple[bytes, ...] = ()
    long_term: bool = False


def time_stamping(url: str, *, roots: tuple[Path, ...] = (), long_term: bool = False) -> TimeStamping:
    """Return time-stamping by the authority at `url`; `roots` are PEM files, needed for `long_term`.

    Raises:
        PlanError: long-term validation without a root to validate against, or a root that cannot be read.
    """
    from pyhanko.sign.timestamps import HTTPTimeStamper

    if long_term and not roots:
        raise PlanError("expected the roots of signer and time-stamp authority for long-term validation (--trust FILE)")
    return TimeStamping(HTTPTimeStamper(url), load_roots(roots), long_term=long_term)


def load_roots(paths: tuple[Path, ...]) -> tuple[Any, ...]:
    """Return the certificates of PEM or DER files, for pyHanko.

    Raises:
        PlanError: a file that holds none.
    """
    from pyhanko.keys import load_certs_from_pemder

    try:
        return tuple(load_certs_from_pemder([str(path) for path in paths]))  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise PlanError(f"expected root certificates in PEM or DER, but: {error}") from error


def sign_pdf(data: bytes, key: SigningKey, *, stamping: TimeStamping | None = None) -> bytes:
    """Return the signed PDF: its first `len(data)` bytes are `data`, the signature is an incremental update after them.

    PAdES B-B without `stamping`, B-T with it, B-LT with its `long_term`. The signature certifies the document and
    allows no change; its field has no place on any page, as a visible one would break PDF/A and PDF/UA.

    Raises:
        EvidenceError: the time-stamp authority or a revocation list cannot be had, or the key refuses to sign.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign.signers import PdfSigner

    signer = PdfSigner(
        _settings(stamping), signer=key.signer, timestamper=None if stamping is None else stamping.stamper
    )
    signed = BytesIO()
    try:
        signer.sign_pdf(IncrementalPdfFileWriter(BytesIO(data)), output=signed)
    except Exception as error:  # network, token and certificate faults all end here, each with its own words
        raise EvidenceError(f"expected to sign the report as {key.name}, but: {error}") from error
    result = signed.getvalue()
    if not result.startswith(data):
        raise EvidenceError("expected the signature to be appended to the report, but the report itself was changed")
    return result


def _settings(stamping: TimeStamping | None) -> Any:
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko.sign.signers.pdf_signer import DSSContentSettings, PdfSignatureMetadata, SigDSSPlacementPreference

    long_term = stamping is not None and stamping.long_term
    return PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        reason=REASON,
        subfilter=SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=MDPPerm.NO_CHANGES,
        embed_validation_info=long_term,
        dss_settings=DSSContentSettings(include_vri=False, placement=SigDSSPlacementPreference.TOGETHER_WITH_SIGNATURE),
        validation_context=_context(stamping) if stamping is not None and long_term else None,
    )


def _context(stamping: TimeStamping) -> Any:
    from asn1crypto import crl
    from pyhanko_certvalidator import ValidationContext

    known = [crl.CertificateList.load(data) for data in stamping.revocations]
    return ValidationContext(trust_roots=list(stamping.roots), crls=known, allow_fetching=not known)
