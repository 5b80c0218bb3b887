"""Keys come from where users keep them, and what does not fit is refused by name."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reports.signing.choice import SigningChoice
from reports.signing.demonstration_key import PASSWORD as OPEN_PASSWORD
from reports.signing.demonstration_key import make_demonstration_key
from reports.signing.keys import SigningKey, load_key
from tests.reports.signing.authority import KINDS, PASSWORD, Authority, Leaf
from wolfhound.errors import PlanError


def assert_signs(key: SigningKey, leaf: Leaf) -> None:
    signature, public = key.sign(b"words"), leaf.certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, b"words", padding.PKCS1v15(), SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, b"words", ec.ECDSA(SHA256()))
    else:
        assert isinstance(public, ed25519.Ed25519PublicKey)
        public.verify(signature, b"words")


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_pkcs12_file_opens_with_its_password_and_signs(kind: str, authority: Authority, tmp_path: Path) -> None:
    leaf = authority.leaf("Ada Auditor", kind=kind)
    key = load_key(leaf.container(tmp_path), password=PASSWORD)
    assert (key.name, key.algorithm, key.demonstration) == ("Ada Auditor", kind, False)
    assert key.fingerprint == leaf.certificate.fingerprint(SHA256()).hex()
    assert_signs(key, leaf)


def test_a_pem_file_may_hold_its_certificate_or_name_it(authority: Authority, tmp_path: Path) -> None:
    leaf = authority.leaf("Ada Auditor")
    assert load_key(leaf.pem(tmp_path, with_certificate=True)).name == "Ada Auditor"
    bare = leaf.pem(tmp_path, with_certificate=False)
    with pytest.raises(PlanError, match="certificate beside the key"):
        load_key(bare)
    own = tmp_path / "own.pem"
    own.write_bytes(leaf.certificate.public_bytes(Encoding.PEM))
    assert load_key(bare, certificate=own).name == "Ada Auditor"


def test_what_does_not_fit_is_refused_by_name(authority: Authority, tmp_path: Path) -> None:
    leaf, other = authority.leaf("Ada Auditor"), authority.leaf("Somebody Else")
    container = leaf.container(tmp_path)
    with pytest.raises(PlanError, match="WOLFHOUND_KEY_PASSWORD"):
        load_key(container, password="wrong")
    with pytest.raises(PlanError, match="No such file"):
        load_key(tmp_path / "absent.p12")
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(other.certificate.public_bytes(Encoding.PEM))
    with pytest.raises(PlanError, match="Somebody Else"):
        load_key(container, certificate=foreign, password=PASSWORD)
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(PlanError, match="private key in PEM"):
        load_key(tmp_path / "text.pem")


def test_a_demonstration_key_is_marked_and_never_overwritten(tmp_path: Path) -> None:
    made = make_demonstration_key(tmp_path)
    key = load_key(made.key, password=OPEN_PASSWORD)
    assert key.demonstration
    assert "proves nothing" in key.name
    assert made.key.stat().st_mode & 0o077 == 0
    with pytest.raises(PlanError, match="never overwritten"):
        make_demonstration_key(tmp_path)


def test_long_term_signatures_ask_for_what_they_need() -> None:
    with pytest.raises(PlanError, match="--timestamp"):
        SigningChoice("key.p12", long_term=True).load()
    with pytest.raises(PlanError, match="--trust"):
        SigningChoice("key.p12", timestamp="http://127.0.0.1:9/", long_term=True).load()
    with pytest.raises(PlanError, match="module-path"):
        SigningChoice("pkcs11:token=T;object=O").load()


@pytest.mark.peers
def test_a_key_in_a_token_signs_without_leaving_it(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    module = next((str(path) for path in map(Path, MODULES) if path.is_file()), None)
    if module is None or shutil.which("softhsm2-util") is None or shutil.which("pkcs11-tool") is None:
        pytest.skip("there is no SoftHSM (Debian: softhsm2 opensc)")
    leaf = authority.leaf("Ada Auditor", kind="rsa")
    _fill_token(leaf, module, tmp_path, monkeypatch)
    monkeypatch.setenv("WOLFHOUND_KEY_PASSWORD", "1234")
    uri = f"pkcs11:token=wolfhound;object=auditor?module-path={module}"
    key, stamping = SigningChoice(uri).load()
    assert (key.name, stamping) == ("Ada Auditor", None)
    assert_signs(key, leaf)
    with pytest.raises(PlanError, match="'absent'"):
        SigningChoice(f"pkcs11:token=absent;object=auditor?module-path={module}").load()


MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


def _fill_token(leaf: Leaf, module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
    (folder / "key.der").write_bytes(leaf.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "own.der").write_bytes(leaf.certificate.public_bytes(Encoding.DER))
    tool = ["pkcs11-tool", "--module", module, "--login", "--pin", "1234", "--label", "auditor", "--id", "01"]
    for command in (
        ["softhsm2-util", "--init-token", "--free", "--label", "wolfhound", "--pin", "1234", "--so-pin", "1234"],
        [*tool, "--write-object", str(folder / "key.der"), "--type", "privkey"],
        [*tool, "--write-object", str(folder / "own.der"), "--type", "cert"],
    ):
        subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))
