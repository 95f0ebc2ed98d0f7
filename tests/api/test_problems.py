"""The one map from errors to answers."""

import asyncio
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.typing import EventDict

from vending import metrics
from vending.api import admission, problems
from vending.api.admission import BodyTooLarge
from vending.api.lines import LineLimit
from vending.api.problems import MoneyState
from vending.api.sources import SourceForbidden
from vending.errors import Inconsistent, Refused, Rejected, Unavailable, VendingError
from vending.meters.meter import MeterUnknown
from vending.payments.inbox import InboxUnavailable
from vending.payments.payment import NoticeConflicts, NoticeMalformed, StatusChangeIllegal
from vending.postgres.pool import CommitUnknown


async def answered(
    raised: BaseException, path: str = "/raise/topsecret"
) -> tuple[int, dict[str, Any], str]:
    """Return status, problem and text of a handler that raises, over a real socket."""

    async def handler(request: web.Request) -> web.Response:
        await admission.read_body(request)
        raise raised

    app = web.Application(middlewares=[admission.middleware(), problems.middleware()])
    app.router.add_post("/raise/{secret}", handler)
    async with (
        TestClient(TestServer(app)) as client,
        client.post(path, data=b"254708374149") as response,
    ):
        assert response.content_type == problems.CONTENT_TYPE
        return response.status, await response.json(content_type=None), str(response.headers)


@pytest.mark.parametrize(
    ("error", "status", "retry", "money_state"),
    [
        (VendingError(), 500, False, "none"),
        (Refused(), 422, False, "none"),
        (MeterUnknown(), 422, False, "none"),
        (Rejected(), 400, False, "none"),
        (NoticeMalformed(reason="type", field="TransID"), 400, False, "none"),
        (NoticeConflicts(), 409, False, "held"),
        (SourceForbidden(source="192.0.2.1"), 403, False, "none"),
        (BodyTooLarge(), 413, False, "none"),
        (Unavailable(), 503, True, "none"),
        (InboxUnavailable(), 503, True, "unknown"),
        (CommitUnknown(), 503, True, "unknown"),
        (Inconsistent(), 500, False, "none"),
        (StatusChangeIllegal(before=None, after="x"), 500, False, "none"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, VendingError) else None,
)
async def test_every_family_of_errors_has_its_answer(
    lines: list[EventDict], error: VendingError, status: int, *, retry: bool, money_state: str
) -> None:
    got, told, headers = await answered(error)
    assert got == told["status"] == status
    assert told["code"] == error.code
    assert told["type"] == f"urn:stima:error:{error.code}"
    assert told["title"] == error.sentence()
    assert told["retry"] is retry
    assert ("Retry-After" in headers) == retry
    assert told["money_state"] == money_state
    assert len(lines) == 1
    assert lines[0]["trace_id"] == told["trace_id"]
    assert lines[0]["route"] == "/raise/{secret}"
    assert lines[0]["log_level"] == ("error" if status >= 500 else "warning")


async def test_an_unforeseen_exception_shows_nobody_its_insides(lines: list[EventDict]) -> None:
    before = metrics.requests_refused.labels(code="internal").value
    status, told, _ = await answered(RuntimeError("the key is 0abc"))
    assert (status, told["code"], told["detail"]) == (500, "internal", "")
    assert "0abc" not in str(told)
    assert len(lines) == 1
    assert lines[0]["exc_info"]
    assert metrics.requests_refused.labels(code="internal").value == before + 1


@pytest.mark.parametrize(
    "fault",
    [
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.InterfaceError("pool is closing"),
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_database_that_is_away_is_a_503_whichever_way_it_shows(
    lines: list[EventDict], fault: Exception
) -> None:
    status, told, headers = await answered(fault)
    assert (status, told["code"], told["retry"]) == (503, "database_unavailable", True)
    assert "Retry-After" in headers
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (web.HTTPNotFound(), 404, "path_unknown"),
        (web.HTTPRequestEntityTooLarge(10, 11), 413, "body_too_large"),
        (web.HTTPBadRequest(), 400, "request_malformed"),
        (web.HTTPMethodNotAllowed("GET", ["POST"]), 405, "method_unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_what_aiohttp_raises_is_a_problem_too(
    reply: web.HTTPException, status: int, code: str
) -> None:
    got, told, _ = await answered(reply)
    assert (got, told["code"]) == (status, code)


async def test_a_reply_that_is_no_error_passes() -> None:
    async def handler(_request: web.Request) -> web.Response:
        raise web.HTTPNoContent

    app = web.Application(middlewares=[problems.middleware()])
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert response.status == 204


async def test_an_unknown_path_is_not_logged_because_it_may_be_a_secret_mistyped(
    lines: list[EventDict],
) -> None:
    status, _, _ = await answered(RuntimeError(), path="/nowhere/topsecret")
    assert status == 404
    assert "topsecret" not in str(lines)


async def test_the_allowed_methods_are_named() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[problems.middleware()])
    app.router.add_post("/only", handler)
    async with TestClient(TestServer(app)) as client, client.get("/only") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


def test_a_caller_may_know_better_what_became_of_the_money() -> None:
    error = NoticeMalformed(reason="type", field="TransID")
    held = problems.answer(error, route="/x", money_state=MoneyState.HELD)
    assert isinstance(held.body, bytes)
    assert b'"money_state":"held"' in held.body


async def test_a_request_that_is_cancelled_stays_cancelled() -> None:
    async def handler(_request: web.Request) -> web.Response:
        raise asyncio.CancelledError

    with_problems = problems.middleware()
    with pytest.raises(asyncio.CancelledError):
        await with_problems(None, handler)  # type: ignore[arg-type]


def test_a_flood_of_lines_is_cut_down_and_counted() -> None:
    now = 0.0
    written: list[dict[str, object]] = []

    def write(event: str, **fields: object) -> None:
        written.append({"event": event, **fields})

    limit = LineLimit(per_second=3, seconds=lambda: now)
    for _ in range(10):
        limit.write(write, "again")
    assert len(written) == 3
    now = 1.5
    limit.write(write, "again")
    limit.write(write, "again")
    assert written[3:] == [{"event": "again", "lines_left_out": 7}, {"event": "again"}]
