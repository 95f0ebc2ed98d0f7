"""The token endpoint: OAuth 2.0 client credentials (RFC 6749, 4.4), and its errors (5.2).

A client proves itself by HTTP Basic (client_secret_basic), by members of the form
(client_secret_post), or by an assertion that it has signed (private_key_jwt, RFC 7523). Beside
`error` and `error_description` a refusal has our `code` and `trace_id`.
"""

import base64
import binascii
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import unquote_plus

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from vending.api import forms, problems
from vending.api.admission import BodyEncoded, BodyTooLarge
from vending.api.doors import Doors
from vending.api.problems import InternalFault, RequestMalformed
from vending.api.v1.asked import ContentTypeWrong
from vending.api.v1.callers import REALM, Callers
from vending.api.v1.problems import TRACE, shape_of
from vending.api.v1.quotas import QuotaExceeded, Quotas
from vending.errors import Rejected, VendingError
from vending.postgres.pool import DatabaseUnavailable
from vending.vendors import access_tokens, assertions
from vending.vendors.access_tokens import AccessToken, ScopeMissing
from vending.vendors.assertions import AssertionRefused, AssertionRepeated
from vending.vendors.credentials import Credential
from vending.vendors.register import (
    CredentialExpired,
    CredentialRefused,
    CredentialRevoked,
    Register,
    RegisterStale,
)
from vending.vendors.seals import Seals
from vending.vendors.vendor import (
    AddressForbidden,
    Scope,
    ScopeUnknown,
    VendorSuspended,
    parse_scopes,
)

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 -- a path
GRANT: Final = "client_credentials"
FORM: Final = "application/x-www-form-urlencoded"

LETTERS_MAX: Final = assertions.LENGTH_MAX

_NO_STORE: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class TokenRequestInvalid(Rejected):
    """This is no request for an access token.

    `fault` says why: one grant_type, and one way of saying which client it is.
    """

    code = "token_request_invalid"


class GrantUnsupported(Rejected):
    """Only the grant `client_credentials` is given here."""

    code = "grant_unsupported"


ERRORS: Final[dict[type[VendingError], str]] = {
    TokenRequestInvalid: "invalid_request",
    RequestMalformed: "invalid_request",
    ContentTypeWrong: "invalid_request",
    BodyTooLarge: "invalid_request",
    BodyEncoded: "invalid_request",
    GrantUnsupported: "unsupported_grant_type",
    CredentialRefused: "invalid_client",
    CredentialRevoked: "invalid_client",
    CredentialExpired: "invalid_client",
    AssertionRefused: "invalid_client",
    AssertionRepeated: "invalid_client",
    ScopeUnknown: "invalid_scope",
    ScopeMissing: "invalid_scope",
    VendorSuspended: "unauthorized_client",
    AddressForbidden: "unauthorized_client",
    QuotaExceeded: "temporarily_unavailable",
    RegisterStale: "temporarily_unavailable",
    DatabaseUnavailable: "temporarily_unavailable",
    InternalFault: "server_error",
}
"""What OAuth calls our errors; those it has no name for are named as its other endpoint does."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An access token and how long it lasts."""

    access_token: str
    token_type: str
    expires_in: Annotated[int, Meta(ge=1, description="Seconds.")]
    scope: Annotated[str, Meta(description="What it is for, by spaces.")]


class TokenRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no access token."""

    error: Annotated[str, Meta(description="As RFC 6749, 5.2 names it.")]
    error_description: str
    code: Annotated[str, Meta(pattern="^[a-z]+(_[a-z]+)*$", description="Stable; see errors.md.")]
    trace_id: Annotated[str, Meta(description="Also in the header Trace-Id; tell us this one.")]


class Tokens:
    """Gives out access tokens."""

    def __init__(
        self, doors: Doors, register: Register, seals: Seals, *, callers: Callers, quotas: Quotas
    ) -> None:
        self._doors = doors
        self._register = register
        self._seals = seals
        self._callers = callers
        self._quotas = quotas
        settings = doors.config.vendors
        public_url = settings.public_url.rstrip("/")
        self._audience = (public_url + TOKEN_PATH, public_url)
        self._lifetime = timedelta(minutes=settings.token_minutes)

    async def fetch(self, request: web.Request) -> web.Response:
        """Answer an access token, or why there is none."""
        try:
            token = await self._fetched(request)
        except Exception as fault:
            if problems.nobody_waits(request, fault):
                raise
            return _refused(problems.error_of(fault), request)
        body = Token(
            access_token=token.text,
            token_type="Bearer",  # noqa: S106 -- its kind
            expires_in=token.expires_in,
            scope=" ".join(sorted(token.scopes)),
        )
        return web.json_response(body=msgspec.json.encode(body), headers=dict(_NO_STORE))

    async def _fetched(self, request: web.Request) -> AccessToken:
        if request.content_type != FORM:
            raise ContentTypeWrong(given=request.content_type[:60])
        form = await forms.read_form(request)
        grant = forms.member(form, "grant_type", letters_max=LETTERS_MAX)
        if not grant:
            raise TokenRequestInvalid(fault="grant_type is missing")
        if grant != GRANT:
            raise GrantUnsupported
        client = await self._client(request, form)
        now = self._doors.clock()
        self._quotas.take(client.vendor_id, now=now)
        named = forms.member(form, "scope", letters_max=LETTERS_MAX).split()
        scopes: frozenset[Scope] = parse_scopes(named) if named else frozenset()
        return access_tokens.issue(
            client,
            scopes=scopes,
            certificate=self._callers.certificate(request),
            lifetime=self._lifetime,
            seals=self._seals,
            now=now,
        )

    async def _client(self, request: web.Request, form: dict[str, str]) -> Credential:
        """Return the client that has proved itself, in one way and no more."""
        address, now = self._callers.address(request), self._doors.clock()
        assertion = forms.member(form, "client_assertion", letters_max=LETTERS_MAX)
        basic = request.headers.get(hdrs.AUTHORIZATION, "")
        secret = forms.member(form, "client_secret", letters_max=LETTERS_MAX)
        if sum(map(bool, (assertion, basic, secret))) != 1:
            raise TokenRequestInvalid(fault="a client proves itself in one way")
        named = forms.member(form, "client_id", letters_max=LETTERS_MAX)
        if assertion:
            if form.get("client_assertion_type") != assertions.TYPE:
                raise TokenRequestInvalid(fault=f"client_assertion_type is {assertions.TYPE}")
            claimed = assertions.claimed_client(assertion)
            if named and named != claimed:
                raise TokenRequestInvalid(fault="client_id is another client")
            client = self._register.signing_client(claimed, address=address, now=now)
            # The one write on the readers' connections: no money, and the client signs a new one.
            await assertions.prove(
                self._doors.readers, client, assertion, audience=self._audience, now=now
            )
            return client
        if basic:
            name, secret = _basic(basic)
            if named and named != name:
                raise TokenRequestInvalid(fault="client_id is another client")
        else:
            name = named
        return self._register.client(name, secret, address=address, now=now)


def status_of(kind: type[VendingError]) -> HTTPStatus:
    """Return the status of a kind of error here.

    Unlike elsewhere, what is wrong with a scope or with a client's standing is a bad request.
    """
    if _name(kind) in {"invalid_scope", "unauthorized_client"}:
        return HTTPStatus.BAD_REQUEST
    return shape_of(kind).status


def _name(kind: type[VendingError]) -> str:
    return next((ERRORS[parent] for parent in kind.__mro__ if parent in ERRORS), "server_error")


def _basic(header: str) -> tuple[str, str]:
    """Return the client and the secret of an Authorization header (RFC 6749, 2.3.1)."""
    scheme, _, shown = header.partition(" ")
    try:
        plain = base64.b64decode(shown.strip(), validate=True).decode()
    except (ValueError, binascii.Error):
        raise CredentialRefused from None
    name, colon, secret = plain.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise CredentialRefused
    return unquote_plus(name), unquote_plus(secret)


def _refused(error: VendingError, request: web.Request) -> web.Response:
    status = status_of(type(error))
    trace_id, _told = problems.noted(error, status=status, route=TOKEN_PATH)
    oauth = _name(type(error))
    body = TokenRefusal(
        error=oauth,
        error_description=" ".join(filter(None, (error.sentence(), error.advice()))),
        code=error.code,
        trace_id=trace_id,
    )
    response = web.json_response(
        body=msgspec.json.encode(body),
        status=int(status),
        headers={TRACE: trace_id, **dict(_NO_STORE)},
    )
    if status is HTTPStatus.UNAUTHORIZED and hdrs.AUTHORIZATION in request.headers:
        response.headers[hdrs.WWW_AUTHENTICATE] = f'Basic realm="{REALM}"'
    if oauth == "temporarily_unavailable":
        after = error.facts.get("retry_after_seconds", problems.RETRY_AFTER_SECONDS)
        response.headers[hdrs.RETRY_AFTER] = str(after)
    return response
