"""How a user names a key: a file or a PKCS#11 token, with its certificate, and whether to time-stamp."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote

from reports.signing.keys import SigningKey, load_key, load_token
from reports.signing.pades import TimeStamping, time_stamping
from wolfhound.errors import PlanError

PASSWORD_VARIABLE = "WOLFHOUND_KEY_PASSWORD"
"""The environment variable that holds the password of a key file or the PIN of a token: never a plan, never a flag."""

_TOKEN = "pkcs11:"


@dataclass(frozen=True)
class SigningChoice:
    """A key by name, without any secret: small, and safe to store and to hand to another process.

    Attributes:
        key: a .p12, .pfx or .pem file, or an RFC 7512 URI "pkcs11:token=T;object=O?module-path=/path/to/module.so".
        certificate: a PEM file with the key's certificate, where the key's own file has none.
        chain: PEM files of the certificates between it and its root.
        timestamp: URL of an RFC 3161 time-stamp authority, or "".
        long_term: embed what validation needs in years to come (PAdES B-LT); needs `timestamp` and `trust`.
        trust: PEM files of the roots that signer and authority lead to.
    """

    key: str
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()
    timestamp: str = ""
    long_term: bool = False
    trust: tuple[Path, ...] = ()

    def load(self) -> tuple[SigningKey, TimeStamping | None]:
        """Return the key, opened with the password of `PASSWORD_VARIABLE`, and the time-stamping.

        Raises:
            PlanError: the key cannot be opened, or the choice contradicts itself.
        """
        if self.long_term and not self.timestamp:
            raise PlanError("expected a time-stamp authority for long-term validation (--timestamp URL)")
        stamping = None
        if self.timestamp:
            stamping = time_stamping(self.timestamp, roots=self.trust, long_term=self.long_term)
        password = os.environ.get(PASSWORD_VARIABLE)
        if self.key.startswith(_TOKEN):
            return _from_uri(self.key, password), stamping
        key = load_key(Path(self.key), certificate=self.certificate, chain=self.chain, password=password)
        return key, stamping


def _from_uri(uri: str, pin: str | None) -> SigningKey:
    path, _, query = uri.removeprefix(_TOKEN).partition("?")
    parts = {name: unquote(value) for name, _, value in (part.partition("=") for part in path.split(";") if part)}
    module = parse_qs(query).get("module-path", [""])[0]
    if not (parts.get("token") and parts.get("object") and module):
        raise PlanError(f"expected pkcs11:token=T;object=O?module-path=/path/to/module.so, got {uri!r}")
    return load_token(Path(module), token=parts["token"], label=parts["object"], pin=pin)
