"""What the receiver answered last: OpenTelemetry's exporters say no more than whether it took something."""

import logging
from typing import Any

_MAY_COME_AGAIN = (
    *("408", "425", "429", "502", "503", "504"),
    *("CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE"),
    "DATA_LOSS",
)
_OF_THE_REQUEST = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
_TOKEN = (
    'check the token: headers={"authorization": "Bearer …"}, or OTEL_EXPORTER_OTLP_HEADERS, as the '
    "receiver's token says"
)
_PLACE = "check the endpoint: what answers there is no receiver of OTLP metrics"
_OF_THE_PLACE = {
    **dict.fromkeys(("401", "403", "407", "UNAUTHENTICATED", "PERMISSION_DENIED"), _TOKEN),
    **dict.fromkeys(("404", "405", "UNIMPLEMENTED", "NOT_FOUND"), _PLACE),
}


class LastAnswer(logging.Filter):
    """Remembers the status of the last answer, and knows what OTLP says of it (specification, "Failures").

    The HTTP exporter is given a session that tells of each response; the gRPC exporter has nothing but its
    log line. Where neither tells, a refusal looks like a receiver that cannot be reached.

    Thread-safety: for the one thread that sends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._code = ""

    @property
    def refusal(self) -> str | None:
        """The status, and what to do; None: the receiver may take the same another time."""
        if self._code in _OF_THE_PLACE:
            return f"{self._code}: {_OF_THE_PLACE[self._code]}"
        return f"{self._code}: see what the receiver says of it" if self.is_of_the_request else None

    @property
    def is_of_the_request(self) -> bool:
        """This very request is refused for good, and not everybody who comes like this or to this place."""
        code = self._code
        is_final = code in _OF_THE_REQUEST or code.startswith("4")
        return is_final and not self.is_for_now and code not in _OF_THE_PLACE

    @property
    def is_for_now(self) -> bool:
        """The receiver is busy: the same may come again."""
        return self._code in _MAY_COME_AGAIN

    def forget(self) -> None:
        """It has taken something."""
        self._code = ""

    def on_response(self, response: Any, *_: object, **__: object) -> None:
        """A hook of `requests`."""
        self._code = str(response.status_code)

    def filter(self, record: logging.LogRecord) -> bool:
        """A filter of the gRPC exporter's logger, which lets everything through."""
        for argument in record.args if isinstance(record.args, tuple) else ():
            if type(argument).__name__ == "StatusCode":
                self._code = argument.name  # type: ignore[attr-defined]
        return True
