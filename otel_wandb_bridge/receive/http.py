"""OTLP over HTTP: `POST /v1/metrics`, and what people and load balancers ask besides."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .body import JSON, PROTOBUF, RETRY_AFTER_SECONDS, Accept, Body, Refused, Room, parse
from .otlp_json import json_of

METRICS_PATH = "/v1/metrics"
BODY_SECONDS = 120.0
"""How long a body may take to come."""


def application(
    accept: Accept,
    *,
    allows: Callable[[str | None], bool],
    stats: Callable[[], Mapping[str, Any]],
    limit: int,
    room: int,
    on_full: Callable[[], None],
) -> Starlette:
    """The ASGI application.

    Args:
        accept: Called in a thread of a pool.
        allows: Told the `Authorization` header.
        stats: What `/stats` shows.
        limit: How many bytes a request may have, after decompression.
        room: How many bytes all bodies that are under way may have.
        on_full: Called for each request that is refused because of it.
    """

    under_way = Room(room, on_full)
    no_entry = Refused(401, "a bearer token is required: Authorization: Bearer …")

    async def export(request: Request) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        answers_json = media_type == JSON
        try:
            if not allows(request.headers.get("authorization")):
                raise no_entry
            body = Body(request.headers.get("content-encoding", ""), limit, under_way)
            with closing(body):
                body.expect(request.headers.get("content-length", ""))
                await asyncio.wait_for(_read(request, body), BODY_SECONDS)
                response = await run_in_threadpool(_accept, accept, body, media_type)
        except Refused as refused:
            return _refusal(refused, answers_json)
        except asyncio.TimeoutError:
            slow = Refused(408, f"the body did not come within {BODY_SECONDS:g} s; send smaller batches")
            return _refusal(slow, answers_json)
        except asyncio.CancelledError:  # the server does not wait any longer
            return _refusal(Refused(503, "the receiver is being stopped", RETRY_AFTER_SECONDS), answers_json)
        except ClientDisconnect:  # nobody reads the answer
            return Response(status_code=400)
        return _answer(response, answers_json)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def counts(request: Request) -> Response:
        if not allows(request.headers.get("authorization")):
            return _refusal(no_entry, True)
        return JSONResponse(await run_in_threadpool(stats))

    return Starlette(
        routes=[
            Route(METRICS_PATH, export, methods=["POST"]),
            Route("/healthz", health),
            Route("/stats", counts),
        ]
    )


async def _read(request: Request, body: Body) -> None:
    async for chunk in request.stream():
        body.take(chunk)


def _accept(accept: Accept, body: Body, media_type: str) -> ExportMetricsServiceResponse:
    whole = body.whole()
    request = parse(whole, media_type)
    return accept(request, whole if media_type == PROTOBUF else request.SerializeToString())


def _answer(message: Any, as_json: bool, status: int = 200, **headers: str) -> Response:
    content = json_of(message) if as_json else message.SerializeToString()
    return Response(content, status, headers, media_type=JSON if as_json else PROTOBUF)


def _refusal(refused: Refused, as_json: bool) -> Response:
    headers = {}
    if refused.retry_after is not None:
        headers["retry-after"] = str(refused.retry_after)
    if refused.status == 401:
        headers["www-authenticate"] = "Bearer"
    return _answer(Status(message=refused.reason), as_json, refused.status, **headers)
