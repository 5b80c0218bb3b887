"""A signed report is accepted whole and by its key alone; every change of it is caught."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import keys as asn1_keys
from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from reports.pdf_verification import pdf_checks, pdf_faults
from reports.render import render
from reports.signing.check import signature_report
from reports.signing.demonstration_key import PASSWORD as OPEN_PASSWORD
from reports.signing.demonstration_key import make_demonstration_key
from reports.signing.keys import SigningKey, load_key
from reports.signing.pades import TimeStamping, load_roots, sign_pdf, time_stamping
from tests.reports.signing.authority import Authority
from wolfhound.errors import EvidenceError
from wolfhound.store import EvidenceStore
from wolfhound.verification import Check


def by_name(checks: list[Check] | tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_an_intact_signed_report_passes_every_check_with_its_root_trusted(signed_pdf: Path, roots: Any) -> None:
    checks = by_name(pdf_checks(signed_pdf, roots=roots))
    assert [check for check in checks.values() if check.ok is False] == []
    assert [name for name, check in checks.items() if check.ok is None] == ["signing time"]
    assert checks["pages"].ok
    assert "Ada Auditor" in checks["signer"].detail


def test_without_a_trusted_root_the_signer_is_not_checked_and_with_another_root_refused(signed_pdf: Path) -> None:
    signer = by_name(pdf_checks(signed_pdf))["signer"]
    assert signer.ok is None
    assert "--trust" in signer.detail
    other = (asn1_x509.Certificate.load(Authority("Other Root").certificate.public_bytes(Encoding.DER)),)
    assert by_name(pdf_checks(signed_pdf, roots=other))["signer"].ok is False


def test_the_signed_file_begins_with_the_unsigned_one_and_says_whose_it_is(signed_pdf: Path, key: SigningKey) -> None:
    data = signed_pdf.read_bytes()
    end = data.index(b"%%EOF") + len(b"%%EOF\n")
    assert signature_report(data[:end]).checks == ()
    first, *others = ["".join(page.extract_text().split()) for page in PdfReader(signed_pdf).pages]
    assert "AdaAuditor" in first
    assert "Howtoverifythisreport" in first
    assert "unsigned" not in first
    assert any(key.fingerprint in page for page in others)


def test_a_signature_that_was_cut_off_is_missed(signed_pdf: Path, tmp_path: Path) -> None:
    data = signed_pdf.read_bytes()
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(data[: data.index(b"%%EOF") + len(b"%%EOF\n")])
    assert any(fault.startswith("signature: cut off") for fault in pdf_faults(cut))


def test_bytes_after_the_signature_are_caught(signed_pdf: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.pdf"
    longer.write_bytes(signed_pdf.read_bytes() + b"\n% harmless?\n")
    assert any(fault.startswith("signature covers the whole file") for fault in pdf_faults(longer))


def test_an_incremental_update_is_caught(signed_pdf: Path, tmp_path: Path) -> None:
    writer = PdfWriter(str(signed_pdf), incremental=True)
    writer.add_metadata({"/Title": "Another title"})
    updated = tmp_path / "updated.pdf"
    writer.write(updated)
    assert updated.read_bytes().startswith(signed_pdf.read_bytes())
    assert pdf_faults(updated)


def test_a_signature_by_another_key_is_not_the_announced_one(
    signed_pdf: Path, authority: Authority, roots: Any, tmp_path: Path
) -> None:
    data = signed_pdf.read_bytes()
    unsigned = data[: data.index(b"%%EOF") + len(b"%%EOF\n")]
    other = load_key(authority.leaf("Mallory").container(tmp_path), password="secret")
    forged = tmp_path / "forged.pdf"
    forged.write_bytes(sign_pdf(unsigned, other))
    faults = pdf_faults(forged, roots=roots)
    assert any(fault.startswith("announced signer") for fault in faults)


def changed(signed_pdf: Path, position: int, change: int, folder: Path) -> Path:
    data = bytearray(signed_pdf.read_bytes())
    data[position] ^= change
    path = folder / "changed.pdf"
    path.write_bytes(data)
    return path


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_one_changed_byte_anywhere_is_caught(signed_pdf: Path, tmp_path: Path, place: float, change: int) -> None:
    position = int(place * signed_pdf.stat().st_size)
    assert pdf_faults(changed(signed_pdf, position, change, tmp_path))


@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_one_changed_byte_in_the_signature_s_own_place_is_caught(
    signed_pdf: Path, tmp_path: Path, place: float, change: int
) -> None:
    (gap,) = re.finditer(rb"/Contents\s*(<[0-9A-F]{2000,}>)", signed_pdf.read_bytes())
    start, end = gap.span(1)
    path = changed(signed_pdf, start + int(place * (end - start)), change, tmp_path)
    checks = signature_report(path.read_bytes()).checks
    assert not checks or any(check.ok is False for check in checks)
    assert pdf_faults(path)


def test_a_demonstration_key_never_counts_as_a_known_signer(small_store: EvidenceStore, tmp_path: Path) -> None:
    made = make_demonstration_key(tmp_path)
    folder = Path(shutil.copytree(small_store.root, tmp_path / "run"))
    render(EvidenceStore(folder), key=load_key(made.key, password=OPEN_PASSWORD))
    checks = by_name(pdf_checks(folder / "report.pdf", roots=load_roots((made.root,))))
    assert checks["signature"].ok
    assert checks["signer"].ok is None
    assert "anybody can make" in checks["signer"].detail
    text = "".join(PdfReader(folder / "report.pdf").pages[0].extract_text().split())
    assert "thissignatureprovesnothing" in text


def stamper(authority: Authority) -> Any:
    """pyHanko's own time-stamp authority, with a key of ours."""
    from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper

    leaf = authority.leaf("Test Clock", kind="rsa", stamping=True)
    private = leaf.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    certificate = asn1_x509.Certificate.load(leaf.certificate.public_bytes(Encoding.DER))
    return DummyTimeStamper(certificate, asn1_keys.PrivateKeyInfo.load(private))


@contextmanager
def clock_server(authority: Authority) -> Iterator[str]:
    """Serve RFC 3161 time-stamps over HTTP on the loopback interface."""
    clock = stamper(authority)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = tsp.TimeStampReq.load(self.rfile.read(int(self.headers["Content-Length"])))
            answer = clock.request_tsa_response(request).dump()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unsigned_part(signed_pdf: Path) -> bytes:
    data = signed_pdf.read_bytes()
    return data[: data.index(b"%%EOF") + len(b"%%EOF\n")]


def test_a_time_stamp_over_http_is_verified(
    signed_pdf: Path, key: SigningKey, authority: Authority, roots: Any, tmp_path: Path
) -> None:
    with clock_server(authority) as url:
        stamped = sign_pdf(unsigned_part(signed_pdf), key, stamping=time_stamping(url))
    (tmp_path / "stamped.pdf").write_bytes(stamped)
    checks = by_name(pdf_checks(tmp_path / "stamped.pdf", roots=roots))
    assert checks["signing time"].ok
    assert "Test Clock" in checks["signing time"].detail
    assert [check for check in checks.values() if not check.ok] == []


def test_an_authority_that_does_not_answer_is_named(signed_pdf: Path, key: SigningKey) -> None:
    with pytest.raises(EvidenceError, match="expected to sign the report as Ada Auditor"):
        sign_pdf(unsigned_part(signed_pdf), key, stamping=time_stamping("http://127.0.0.1:9/"))


def test_a_long_term_signature_is_whole_and_trailing_bytes_break_it(
    signed_pdf: Path, key: SigningKey, authority: Authority, roots: Any, tmp_path: Path
) -> None:
    stamping = TimeStamping(stamper(authority), roots, revocations=(authority.revocations(),), long_term=True)
    data = sign_pdf(unsigned_part(signed_pdf), key, stamping=stamping)
    (tmp_path / "long.pdf").write_bytes(data)
    checks = by_name(pdf_checks(tmp_path / "long.pdf", roots=roots))
    assert [check for check in checks.values() if not check.ok] == []
    assert b"/DSS" in data[len(unsigned_part(signed_pdf)) :]
    (tmp_path / "longer.pdf").write_bytes(data + b"\n%\n")
    assert pdf_faults(tmp_path / "longer.pdf", roots=roots)


@pytest.mark.skipif(shutil.which("pdfsig") is None, reason="needs pdfsig (Debian: poppler-utils)")
def test_poppler_finds_the_signature_valid_and_the_whole_document_signed(signed_pdf: Path) -> None:
    said = subprocess.run(["pdfsig", str(signed_pdf)], capture_output=True, text=True, check=False).stdout
    assert "Signature is Valid" in said
    assert "Total document signed" in said
