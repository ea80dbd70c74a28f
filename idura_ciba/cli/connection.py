"""The options that say which tenant and which client, declared once for all commands that need them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from idura_ciba.cli.config import RESUME_SECRET, Settings
from idura_ciba.credentials import environment as env
from idura_ciba.credentials.environment import Method

__all__ = ["ResumeSecretOption", "takes_settings"]

_CLIENT: Final = "Provider and client"
_DEMANDED: Final = "Other providers: what they demand"
_ACCEPTED: Final = "Other providers: what is trusted"
#: These three are arguments in a program: `Endpoints`, `AiohttpTransport` and `FinalPoll`.
_TRUSTED_ORIGINS, _CA_FILE, _GUARD = "IDURA_CIBA_TRUSTED_ORIGINS", "IDURA_CIBA_CA_FILE", "IDURA_CIBA_GUARD"
_REPEATABLE: Final = "Repeatable, or several with commas."

ResumeSecretOption = Annotated[
    str | None,
    typer.Option(
        "--resume-secret-file",
        rich_help_panel=_CLIENT,
        help="File with a secret that all machines have, 32 or more random characters; by default it is read from the "
        f"variable {RESUME_SECRET}.",
    ),
]


def _settings(
    *,
    issuer: Annotated[
        str | None,
        typer.Option(
            "--issuer",
            envvar=env.ISSUER,
            rich_help_panel=_CLIENT,
            help="Issuer URL; at Idura, https://NAME.idura.broker",
        ),
    ] = None,
    idura_paths: Annotated[
        bool,
        typer.Option(
            "--idura-paths",
            rich_help_panel=_CLIENT,
            help="The issuer is a domain of your own at Idura: endpoints that it does not name are at Idura's paths.",
        ),
    ] = False,
    client_id: Annotated[
        str | None,
        typer.Option("--client-id", envvar=env.CLIENT_ID, rich_help_panel=_CLIENT, help="Client id, as registered."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            envvar=env.KEY_FILE,
            rich_help_panel=_CLIENT,
            help="File with the private key, PEM or JWK; for tls also the certificate, unless --cert-file names one.",
        ),
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            "--secret-file",
            rich_help_panel=_CLIENT,
            help=f"File with the client secret; by default it is read from the variable {env.SECRET}.",
        ),
    ] = None,
    client_auth: Annotated[
        Method | None,
        typer.Option(
            "--client-auth",
            envvar=env.CLIENT_AUTH,
            rich_help_panel=_CLIENT,
            help="Client authentication method; by default private-key if there is a key file, else basic.",
        ),
    ] = None,
    alg: Annotated[
        str | None,
        typer.Option(
            "--alg",
            envvar=env.ALG,
            rich_help_panel=_CLIENT,
            help="Signing algorithm; by default the one that the JWK names, else the usual one for the key type.",
        ),
    ] = None,
    cert_file: Annotated[
        Path | None,
        typer.Option(
            "--cert-file",
            envvar=env.CERTIFICATE,
            rich_help_panel=_DEMANDED,
            help="File with the client certificate, PEM. For tls and self-signed-tls its key is in --key-file; with "
            "another method it is here too, and tokens are bound to the certificate.",
        ),
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option(
            "--audience",
            envvar=env.AUDIENCE,
            rich_help_panel=_DEMANDED,
            help="Audience of client assertions: issuer (the default), endpoint for the URL called, or any text.",
        ),
    ] = None,
    send_client_id: Annotated[
        bool | None,
        typer.Option(
            "--send-client-id/--no-send-client-id",
            envvar=env.SEND_CLIENT_ID,
            rich_help_panel=_DEMANDED,
            help="Whether the client id stands beside an assertion; by default it does.",
        ),
    ] = None,
    dpop: Annotated[
        bool,
        typer.Option("--dpop", envvar=env.DPOP, rich_help_panel=_DEMANDED, help="Bind tokens to a key by DPoP."),
    ] = False,
    sign_requests: Annotated[
        bool,
        typer.Option(
            "--sign-requests",
            envvar=env.SIGN_REQUESTS,
            rich_help_panel=_DEMANDED,
            help="Sign authentication requests, as FAPI-CIBA demands.",
        ),
    ] = False,
    request_alg: Annotated[
        str | None,
        typer.Option(
            "--request-alg",
            envvar=env.REQUEST_ALG,
            rich_help_panel=_DEMANDED,
            help="Signing algorithm of requests, such as PS256; by default as for assertions.",
        ),
    ] = None,
    request_key_file: Annotated[
        Path | None,
        typer.Option(
            "--request-key-file",
            envvar=env.REQUEST_KEY_FILE,
            rich_help_panel=_DEMANDED,
            help="File with the key that signs requests; by default the client's own.",
        ),
    ] = None,
    guard: Annotated[
        float | None,
        typer.Option(
            "--guard",
            envvar=_GUARD,
            min=0.0,
            rich_help_panel=_DEMANDED,
            help="Seconds before the end at which the last poll leaves; by default 0.2, and more once the provider has "
            "ended a login early.",
        ),
    ] = None,
    id_token_algorithm: Annotated[
        list[str] | None,
        typer.Option(
            "--id-token-algorithm",
            envvar=env.ID_TOKEN_ALGORITHMS,
            rich_help_panel=_ACCEPTED,
            help=f"Signature algorithm that ID tokens may have; by default RS256. {_REPEATABLE}",
        ),
    ] = None,
    trusted_audience: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-audience",
            envvar=env.TRUSTED_AUDIENCES,
            rich_help_panel=_ACCEPTED,
            help=f"Further audience that ID tokens may name beside this client. {_REPEATABLE}",
        ),
    ] = None,
    trusted_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-origin",
            envvar=_TRUSTED_ORIGINS,
            rich_help_panel=_ACCEPTED,
            help=f"Origin that endpoints may have beside the issuer's, such as https://keys.example.com. {_REPEATABLE}",
        ),
    ] = None,
    decryption_key_file: Annotated[
        Path | None,
        typer.Option(
            "--decryption-key-file",
            envvar=env.DECRYPTION_KEY_FILE,
            rich_help_panel=_ACCEPTED,
            help="File with the private key that opens encrypted ID tokens, PEM or JWK.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file",
            envvar=_CA_FILE,
            rich_help_panel=_ACCEPTED,
            help="File with the certificate of an authority of your own, PEM; trusted beside those of the system.",
        ),
    ] = None,
) -> Settings:
    """Return the settings that were given."""
    return Settings(
        issuer=issuer,
        idura_paths=idura_paths,
        client_id=client_id,
        key_file=key_file,
        secret_file=secret_file,
        method=client_auth,
        alg=alg,
        cert_file=cert_file,
        audience=audience,
        send_client_id=send_client_id,
        dpop=dpop,
        sign_requests=sign_requests,
        request_alg=request_alg,
        request_key_file=request_key_file,
        guard=guard,
        id_token_algorithms=_each(id_token_algorithm),
        trusted_audiences=_each(trusted_audience),
        trusted_origins=_each(trusted_origin),
        decryption_key_file=decryption_key_file,
        ca_file=ca_file,
    )


def _each(given: list[str] | None) -> tuple[str, ...]:
    return tuple(text for texts in given or () for text in env.listed(texts))


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of this module in the place of its parameter `settings`, which they become."""
    added = inspect.signature(_settings, eval_str=True).parameters
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())
    place = list(signature.parameters).index("settings")
    own[place : place + 1] = added.values()

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> None:
        mine = {name: given.pop(name) for name in added if name in given}
        command(*args, settings=_settings(**mine), **given)

    run.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined] # where `inspect` looks first
    return run
