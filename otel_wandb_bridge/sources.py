"""Who reports: a component, in one process of a job.

Shared by all stages; standard library only.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, final

SERVICE_NAMESPACE = "service.namespace"
SERVICE_NAME = "service.name"
SERVICE_INSTANCE_ID = "service.instance.id"
HOST_NAME = "host.name"
PROCESS_PID = "process.pid"
"""Resource attributes of the OpenTelemetry semantic conventions ("Service", "Host", "Process")."""

RANK = "training.rank"
WORLD_SIZE = "training.world_size"
LOCAL_RANK = "training.local_rank"
"""Resource attributes for what `torchrun` says in `RANK`, `WORLD_SIZE` and `LOCAL_RANK`: the semantic
conventions have none."""


@final
class Source(str):
    """A component of one process: service, instance and the `source` of its measurements.

    It reads as text wherever a source is a text. A component of this very process, where there is no other,
    is its plain name.
    """

    __slots__ = ("contributor", "name", "process")

    name: str
    """What the measurement says: its `source` attribute, or else its instrumentation scope."""
    process: "Process"
    contributor: str
    """That of the process."""

    def __new__(cls, name: str, process: "Process") -> "Source":
        """The component `name` of a process."""
        source = super().__new__(cls, "/".join(part for part in (*process.path, name) if part))
        source.name = name
        source.process = process
        source.contributor = process.contributor
        return source


@final
@dataclass(frozen=True, slots=True)
class Process:
    """One process of a job, as its OpenTelemetry resource describes it.

    Thread-safety: immutable.
    """

    service: str = ""
    instance: str = ""
    """New with each start of the process; empty where it is not known."""
    rank: int | None = None
    world_size: int | None = None
    """How many ranks the job has; None where it is not known."""
    contributor: str = field(init=False)
    """Whose share its values of a key and step are: its rank's, else its instance's."""

    def __post_init__(self) -> None:
        label = self.instance if self.rank is None else f"rank_{self.rank}"
        object.__setattr__(self, "contributor", f"{self.service}/{label}")

    @property
    def path(self) -> tuple[str, ...]:
        """What stands before the name of a component in the text of its source."""
        rank = () if self.rank is None else (f"rank_{self.rank}",)
        return (self.service, *rank, self.instance)

    def source(self, name: str) -> Source:
        """A component of this process."""
        return Source(name, self)


def process_of(resource: Mapping[str, Any]) -> Process:
    """The process that a resource describes, by its attributes.

    Never raises: a rank that is no number of at least 0 (as text or as int) counts as none. Where there is no
    `service.instance.id`, `host.name` and `process.pid` stand for it.
    """
    instance = _text(resource.get(SERVICE_INSTANCE_ID))
    if not instance:
        instance = ":".join(filter(None, (_text(resource.get(HOST_NAME)), _text(resource.get(PROCESS_PID)))))
    service = "/".join(
        filter(None, (_text(resource.get(SERVICE_NAMESPACE)), _text(resource.get(SERVICE_NAME))))
    )
    return Process(service, instance, whole(resource.get(RANK)), whole(resource.get(WORLD_SIZE)))


def contributor_of(source: str) -> str | None:
    """What the values of a source are a share of; None where no process is known."""
    return source.contributor if type(source) is Source else None


def rank_of(source: str) -> int | None:
    """The rank that a source is of; None where it is of none, or none is known."""
    return source.process.rank if type(source) is Source else None


def ranks_of(source: str) -> int:
    """How many ranks the service of a source has, as a rank of it says; 0 where none does."""
    return 0 if rank_of(source) is None else source.process.world_size or 0  # type: ignore[attr-defined]


def service_of(source: str) -> str:
    """The service that a source is of; empty where none is known."""
    return source.process.service if type(source) is Source else ""


def name_of(source: str) -> str:
    """The name of the component, which the sources of several processes may have in common."""
    return source.name if type(source) is Source else source


def is_among(source: str, names: Collection[str]) -> bool:
    """Whether names of sources mean `source`, by its full text or by its component's name."""
    return source in names or name_of(source) in names


def whole(value: Any) -> int | None:
    """The number of at least 0 that an int or a text of digits stands for; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        return int(value)
    return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
