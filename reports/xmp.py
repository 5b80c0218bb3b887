"""The PDF's XMP metadata: that it is PDF/A-3a and PDF/UA-1 at once, and which evidence it was rendered from."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PDFUA = "http://www.aiim.org/pdfua/ns/id/"
WOLFHOUND = "urn:wolfhound:report:1#"
UNSIGNED = "unsigned"
_EXTENSION = "http://www.aiim.org/pdfa/ns/extension/"
_SCHEMA = "http://www.aiim.org/pdfa/ns/schema#"
_PROPERTY = "http://www.aiim.org/pdfa/ns/property#"
_PREFIXES = {
    "pdfuaid": PDFUA,
    "wolfhound": WOLFHOUND,
    "pdfaExtension": _EXTENSION,
    "pdfaSchema": _SCHEMA,
    "pdfaProperty": _PROPERTY,
}


@dataclass(frozen=True)
class Digests:
    """SHA-256 digests in hex: of the attached evidence, the attached manifest and the signature's certificates.

    `signer`, its own certificate first, is empty in a report that nobody signs. It stands in the signed bytes, so a
    report whose signature was cut off still says that it had one.
    """

    evidence: str
    manifest: str
    signer: tuple[str, ...] = ()


def declare(metadata: Any, digests: Digests) -> None:
    """Make WeasyPrint's `metadata` also declare PDF/UA-1 and the digests.

    PDF/UA readers look into the first rdf:RDF only, and WeasyPrint writes additions into a second one, so its own
    generator is wrapped. PDF/A wants every foreign property described by an extension schema.
    """
    generate = metadata.generate_rdf_metadata

    def with_more(*arguments: Any, **options: Any) -> bytes:
        return _extended(generate(*arguments, **options), digests)

    metadata.generate_rdf_metadata = with_more


def _extended(data: bytes, digests: Digests) -> bytes:
    for prefix, uri in _PREFIXES.items():
        ElementTree.register_namespace(prefix, uri)
    # WeasyPrint writes xml:lang as a plain attribute name, which survives being parsed as the XML namespace's own.
    rdf = ElementTree.fromstring(data)
    description = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    for uri, name, text in (
        (PDFUA, "part", "1"),
        (WOLFHOUND, "evidenceSha256", digests.evidence),
        (WOLFHOUND, "manifestSha256", digests.manifest),
        (WOLFHOUND, "signerSha256", " ".join(digests.signer) or UNSIGNED),
    ):
        ElementTree.SubElement(description, f"{{{uri}}}{name}").text = text
    schemas = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    bag = ElementTree.SubElement(ElementTree.SubElement(schemas, f"{{{_EXTENSION}}}schemas"), f"{{{RDF}}}Bag")
    part = {"part": ("Integer", "internal", "Part of ISO 14289")}
    _schema(bag, "PDF/UA identification", PDFUA, "pdfuaid", part)
    declared = {
        "evidenceSha256": ("Text", "external", "SHA-256 of the attached evidence.json"),
        "manifestSha256": ("Text", "external", "SHA-256 of the attached manifest.json"),
        "signerSha256": ("Text", "external", "SHA-256 of the certificates of the signature, or unsigned"),
    }
    _schema(bag, "Wolfhound report", WOLFHOUND, "wolfhound", declared)
    return bytes(ElementTree.tostring(rdf, encoding="utf-8"))


def _schema(
    bag: ElementTree.Element, title: str, uri: str, prefix: str, properties: dict[str, tuple[str, str, str]]
) -> None:
    resource = {f"{{{RDF}}}parseType": "Resource"}
    entry = ElementTree.SubElement(bag, f"{{{RDF}}}li", resource)
    for name, text in (("schema", title), ("namespaceURI", uri), ("prefix", prefix)):
        ElementTree.SubElement(entry, f"{{{_SCHEMA}}}{name}").text = text
    sequence = ElementTree.SubElement(ElementTree.SubElement(entry, f"{{{_SCHEMA}}}property"), f"{{{RDF}}}Seq")
    for name, (kind, category, meaning) in properties.items():
        item = ElementTree.SubElement(sequence, f"{{{RDF}}}li", resource)
        for key, text in (("name", name), ("valueType", kind), ("category", category), ("description", meaning)):
            ElementTree.SubElement(item, f"{{{_PROPERTY}}}{key}").text = text


def read_digests(xmp: bytes) -> Digests | None:
    """Return the digests that a PDF's XMP declares, or None if it declares none."""
    try:
        root = ElementTree.fromstring(xmp.strip())
    except ElementTree.ParseError:
        return None
    evidence, manifest, signer = (_property(root, f"{name}Sha256") for name in ("evidence", "manifest", "signer"))
    if evidence is None or manifest is None or signer is None:
        return None
    return Digests(evidence, manifest, () if signer == UNSIGNED else tuple(signer.split()))


def _property(root: ElementTree.Element, name: str) -> str | None:
    """Return a property of ours: RDF may write it as an element or, as who signs the file does, as an attribute."""
    key = f"{{{WOLFHOUND}}}{name}"
    text = root.findtext(f".//{key}")
    return text if text is not None else next((value for e in root.iter() if (value := e.get(key)) is not None), None)
