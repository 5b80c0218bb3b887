"""The commands that sign: `sign RUN` and `keys demo`, and the options that they share with `run`."""

from pathlib import Path
from typing import Annotated

import typer

from flows import process_settings
from reports.signing.choice import PASSWORD_VARIABLE, SigningChoice

keys_app = typer.Typer(help="Make a key to try signing with.", no_args_is_help=True)

_PASSWORD = f"Its password or PIN is read from {PASSWORD_VARIABLE}."
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="WOLFHOUND_KEY", help=f"Signing key: .p12, .pfx, .pem or a pkcs11: URI. {_PASSWORD}"),
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="The key's certificate (PEM), if its file has none.")
]
Chain = Annotated[
    list[Path] | None, typer.Option("--chain", help="Certificates between the key's and its root (PEM). Repeatable.")
]
Timestamp = Annotated[
    str, typer.Option("--timestamp", envvar="WOLFHOUND_TIMESTAMP", help="URL of an RFC 3161 time-stamp authority.")
]
LongTerm = Annotated[
    bool, typer.Option("--long-term", help="Embed what validation needs in years to come (PAdES B-LT).")
]
Trust = Annotated[
    list[Path] | None, typer.Option("--trust", help="Root certificates that you trust (PEM). Repeatable.")
]


def chosen(
    key: str | None,
    certificate: Path | None,
    chain: list[Path] | None,
    timestamp: str,
    trust: list[Path] | None,
    *,
    long_term: bool,
) -> SigningChoice | None:
    """Return the choice that the options make, checked by opening the key; None where no key is named."""
    if not key:
        return None
    choice = SigningChoice(key, certificate, tuple(chain or ()), timestamp, long_term, tuple(trust or ()))
    choice.load()
    return choice


def sign(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    key: Key = None,
    certificate: Certificate = None,
    chain: Chain = None,
    timestamp: Timestamp = "",
    long_term: LongTerm = False,
    trust: Trust = None,
) -> None:
    """Render the report of a finished run once more, sign it and its statement, and seal the folder anew."""
    from flows.cli import default_cache
    from flows.run_folder import locked
    from reports.render import render
    from wolfhound.errors import PlanError
    from wolfhound.store import EvidenceStore

    choice = chosen(key, certificate, chain, timestamp, trust, long_term=long_term)
    if choice is None:
        raise PlanError("expected a signing key (--key FILE; to try it: wolfhound keys demo FOLDER)")
    process_settings.configure(default_cache(), prefect=False)
    store = EvidenceStore(run_folder.resolve())
    store.evidence()
    opened, stamping = choice.load()
    with locked(store.root):
        rendered = render(store, key=opened, stamping=stamping)
        seal = store.seal()
    typer.echo(f"signed  {rendered.pdf}\nby      {opened.name}\nseal    {seal}")
    if opened.demonstration:
        typer.echo("This is a demonstration key: its signature proves nothing about who signed.", err=True)


@keys_app.command("demo")
def keys_demo(folder: Annotated[Path, typer.Argument(help="Where to write the key and its root.")] = Path()) -> None:
    """Make a clearly marked demonstration key and the root that certifies it. It proves nothing."""
    from reports.signing.demonstration_key import PASSWORD, make_demonstration_key

    made = make_demonstration_key(folder.resolve())
    typer.echo(f"key     {made.key}\nroot    {made.root}\npassword {PASSWORD}")
    typer.echo(
        f"\nSign a run with it:\n  {PASSWORD_VARIABLE}={PASSWORD} wolfhound sign RUN --key {made.key}\n"
        f"and check it:\n  wolfhound verify RUN --trust {made.root}"
    )
