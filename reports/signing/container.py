"""Whether a signature's container is exactly what its signer wrote: the signature itself covers all but that."""

from typing import Any

from wolfhound.verification import Check

NAME = "signature container"


def container_check(data: bytes, signature: Any) -> Check:
    """Return the check of the bytes that a PDF signature cannot cover: its own, where they stand in the file.

    They have one form: upper-case hex of the signature's DER encoding, then zeros. In that encoding, the signature
    covers the signed attributes and through them the signer's certificate. The other certificates in it are compared
    with those that the signed report names (see `reports.signing.check.SignatureReport.certificates`).
    """
    found = _written(data, signature)
    if found is None:
        return Check(NAME, False, "the signature is not written as upper-case hex that ends in zeros")
    encoded, content = found
    if content.copy().dump(force=True) != encoded or not _plain(content["content"]):
        return Check(NAME, False, "the signature is not in its one canonical encoding")
    return Check(NAME, True, "the signature is in its one canonical form")


def _written(data: bytes, signature: Any) -> tuple[bytes, Any] | None:
    """Return the DER bytes in the gap that the signature leaves open, and what they hold; None if not in their form."""
    from asn1crypto import cms

    first, length, second, _ = (int(number) for number in signature.byte_range)
    gap = data[first + length : second]
    if gap[:1] != b"<" or gap[-1:] != b">" or gap != gap.upper():
        return None
    blob = bytes.fromhex(gap[1:-1].decode("ascii"))
    content = cms.ContentInfo.load(blob, strict=False)
    encoded = content.dump()
    return None if blob[len(encoded) :].strip(b"\0") else (encoded, content)


def _plain(signed: Any) -> bool:
    """Whether the fields around the signature, which it does not cover, say what they must."""
    (signer,) = signed["signer_infos"]
    (digest,) = signed["digest_algorithms"]
    return (
        signed["version"].native == "v1"
        and signer["version"].native == "v1"
        and digest.dump() == signer["digest_algorithm"].dump()
        and signed["encap_content_info"]["content_type"].native == "data"
        and not signed["encap_content_info"]["content"].native
        and not signed["crls"].native
    )
