"""A double of the W&B server on loopback: all that `wandb` needs to init, log, finish and resume.

    with WandbDouble() as server:
        ...  # a program with server.environment
    server.runs["id"].rows

It answers GraphQL at `/graphql`, takes `file_stream` chunks at offsets, and stores files. Told to, it fails:
with a status, by resetting the connection, or by silence.
"""

import gzip
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "team"
RESET, SILENCE = "reset", "silence"
Fault = int | str


@dataclass
class StoredRun:
    """What the server knows of one run."""

    id: str
    lines: dict[str, list[str]] = field(default_factory=dict)
    """By file, as streamed."""
    config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None
    is_complete: bool = False

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, in the order of the server's lines."""
        return [json.loads(line) for line in self.lines.get("wandb-history.jsonl", [])]

    @property
    def summary(self) -> dict[str, Any]:
        """The summary that was streamed last."""
        lines = self.lines.get("wandb-summary.json")
        return json.loads(lines[-1]) if lines else {}

    def series(self, key: str, axis: str = "global_step") -> dict[int, Any]:
        """Training step to value; fails where a step has it twice."""
        pairs = [(row[axis], row[key]) for row in self.rows if key in row]
        assert len(dict(pairs)) == len(pairs), f"{key} twice at a step: {pairs}"
        return dict(pairs)


class WandbDouble:
    """The server, from `with` to the end of it, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.requests: list[str] = []
        """`path` or GraphQL operation of every request, in order."""
        self._faults: dict[str, deque[Fault]] = {}
        self._for_good: dict[str, Fault] = {}
        self._over = threading.Event()
        self.lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": self}))

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What `wandb` needs to find it, and to be quick about it."""
        return {
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0123456789" * 4,
            "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1",
            "WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS": "1",
            "WANDB__FILE_STREAM_TIMEOUT_SECONDS": "2",
            "WANDB__DISABLE_STATS": "true",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_DISABLE_GIT": "true",
        }

    def fail(self, what: str, *faults: Fault) -> None:
        """Answer the next requests for `what` (`file_stream`, `graphql`, `storage`) with these, one each."""
        with self.lock:
            self._faults.setdefault(what, deque()).extend(faults)

    def fail_for_good(self, what: str, fault: Fault | None) -> None:
        """Answer all requests for `what` like this, until told None."""
        with self.lock:
            self._for_good.pop(what, None)
            if fault is not None:
                self._for_good[what] = fault

    def fault_of(self, what: str) -> Fault | None:
        """What the next request for `what` is answered with."""
        with self.lock:
            waiting = self._faults.get(what)
            return waiting.popleft() if waiting else self._for_good.get(what)

    def has_failed(self, what: str) -> bool:
        """Whether all faults that were asked for have happened."""
        with self.lock:
            return not self._faults.get(what)

    def run_of(self, name: str) -> StoredRun:
        """The run of this name, made if need be."""
        with self.lock:
            return self.runs.setdefault(name, StoredRun(name))

    def stay_silent(self) -> None:
        """Until it is over."""
        self._over.wait()

    def __enter__(self) -> "WandbDouble":
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A connection that was reset is what was asked for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: WandbDouble

    def do_POST(self) -> None:
        body = self._body()
        what = "graphql" if self.path == "/graphql" else self.path.rsplit("/", 1)[1]
        question = json.loads(body)
        operation = (
            question.get("operationName") or _operation(question["query"]) if what == "graphql" else what
        )
        with self.double.lock:
            self.double.requests.append(operation)
        if self._fails(what):
            return
        with self.double.lock:
            if what == "graphql":
                answer = self._answer(operation, question.get("variables") or {})
            else:
                answer = self._stream(self.path.split("/")[-2], question)
        self._reply(200, json.dumps(answer).encode())

    def do_PUT(self) -> None:
        body = self._body()
        if not self._fails("storage"):
            _, _, run, name = self.path.split("/", 3)
            with self.double.lock:
                self.double.run_of(run).files[name] = body
            self._reply(200, b"{}")

    def do_GET(self) -> None:
        self._reply(404, b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing is said."""

    def _answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name") or given.get("runName") or given.get("run") or ""
        if operation == "UpsertBucket":
            is_new = name not in self.double.runs
            run = self.double.run_of(name)
            run.config.update(json.loads(given.get("config") or "{}"))
            return {"data": {"upsertBucket": {"bucket": self._bucket(run, given), "inserted": is_new}}}
        if operation == "RunResumeStatus":
            stored = self.double.runs.get(name)
            bucket = self._resumable(stored, given) if stored else None
            project = {"id": "p", "name": given.get("project"), "entity": {"id": "e", "name": ENTITY}}
            return {"data": {"model": {**project, "bucket": bucket}}}
        if operation == "RewindRun":
            run = self.double.run_of(name)
            run.lines["wandb-history.jsonl"] = [
                line
                for line in run.lines.get("wandb-history.jsonl", [])
                if json.loads(line)["_step"] <= given["metricValue"]
            ]
            run.is_complete = False
            return {"data": {"rewindRun": {"rewoundRun": self._bucket(run, given)}}}
        if operation == "CreateRunFiles":
            url = f"{self.double.url}/storage/{name}/"
            files = [{"name": file, "uploadUrl": url + file} for file in given["files"]]
            return {"data": {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}}
        if operation == "Viewer":
            viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
            return {"data": {"viewer": {**viewer, "teams": {"edges": []}}}}
        versions = {"cliVersionInfo": {"max_cli_version": "99.0.0"}, "latestLocalVersionInfo": None}
        return {"data": {"serverInfo": {"features": [], **versions}, "entity": None, "viewer": None}}

    def _bucket(self, run: StoredRun, given: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "p", "name": given.get("project"), "entity": {"id": "e", "name": ENTITY}}
        return {
            **dict.fromkeys(("description", "sweepName")),
            "id": run.id,
            "name": run.id,
            "displayName": run.id,
            "config": json.dumps(run.config),
            "project": project,
            "historyLineCount": len(run.rows),
        }

    def _resumable(self, run: StoredRun, given: dict[str, Any]) -> dict[str, Any]:
        history, events = (run.lines.get(f"wandb-{name}.jsonl", []) for name in ("history", "events"))
        return {
            **self._bucket(run, given),
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": len(run.lines.get("output.log", [])),
            "eventsLineCount": len(events),
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": json.dumps(events[-1:]),
            "tags": [],
            "notes": None,
            "wandbConfig": '{"t": {}}',
        }

    def _stream(self, name: str, chunk: dict[str, Any]) -> dict[str, Any]:
        run = self.double.run_of(name)
        for file, part in (chunk.get("files") or {}).items():
            lines, offset = run.lines.setdefault(file, []), part["offset"]
            lines[offset : offset + len(part["content"])] = part["content"]
        if chunk.get("complete"):
            run.is_complete, run.exit_code = True, chunk["exitcode"]
        return {"exitcode": None, "limits": {}}

    def _fails(self, what: str) -> bool:
        fault = self.double.fault_of(what)
        if fault is None:
            return False
        if fault == SILENCE:
            self.double.stay_silent()
        if isinstance(fault, int):
            self._reply(fault, json.dumps({"error": f"the double says {fault}"}).encode())
        else:
            at_once = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self.connection.close()
            self.close_connection = True
        return True

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().strip(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


def _operation(query: str) -> str:
    """The name of a GraphQL operation: `query Viewer { ... }`."""
    return query.split("(")[0].split("{")[0].split()[1]
