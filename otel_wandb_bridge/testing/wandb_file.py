"""What a W&B run wrote, read back from its ``.wandb`` file: rows, summary and config.

W&B's own reader is private and has been removed from recent versions; this one leans only on the public
protobuf messages. wandb is imported when a file is read, not before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_wandb_bridge.testing.leveldb_log import HEADER, read_log
from otel_wandb_bridge.testing.locate import Source, find_wandb_file
from otel_wandb_bridge.testing.tree import put, remove

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]


def read_rows(source: Source) -> list[dict[str, Any]]:
    """Return the history of a run, one dict a row, in the order of the file.

    Nested keys become nested dicts, NaN and the infinities floats. Each row has ``_step``, besides
    ``_timestamp`` (seconds since the epoch) and ``_runtime`` (seconds) as W&B wrote them. The order of keys
    within a row carries no meaning. A number W&B stored without a fraction comes back as an int.

    wandb-core buffers what it writes: read after the process that logged has exited, or the last rows may be
    missing. A file cut off anywhere gives the whole rows before the cut; a damaged record is left out and
    the rows after it are kept.

    Args:
        source: a W&B run, a run directory, the ``wandb`` directory (for its ``latest-run``), or a
            ``.wandb`` file.

    Raises:
        FileNotFoundError: there is no such file, or the directory leads to none.
        ValueError: the file is not a ``.wandb`` file, or a directory holds several.

    Safe to call from several threads.
    """
    rows = []
    for record in read_records(source):
        if record.WhichOneof("record_type") == "history":
            row: dict[str, Any] = {}
            for item in record.history.item:
                put(row, _path(item), _value(item))
            row.setdefault("_step", record.history.step.num)
            rows.append(row)
    return rows


def read_summary(source: Source) -> dict[str, Any]:
    """Return the summary of a run as it stood at the end of the file, W&B's own keys (``_step``, …) included.

    Takes and raises the same as [`read_rows`][otel_wandb_bridge.testing.read_rows].
    """
    summary: dict[str, Any] = {}
    for record in read_records(source):
        match record.WhichOneof("record_type"):
            case "run":
                _fold(summary, record.run.summary)
            case "summary":
                _fold(summary, record.summary)
    return summary


def read_config(source: Source) -> dict[str, Any]:
    """Return the config of a run as it stood at the end of the file, W&B's own ``_wandb`` included.

    Takes and raises the same as [`read_rows`][otel_wandb_bridge.testing.read_rows].
    """
    config: dict[str, Any] = {}
    for record in read_records(source):
        match record.WhichOneof("record_type"):
            case "run":
                _fold(config, record.run.config)
            case "config":
                _fold(config, record.config)
    return config


def read_records(source: Source) -> Iterator[Record]:
    """Yield every record of a run's file, as ``wandb.proto.wandb_internal_pb2.Record``, in file order.

    Takes and raises the same as [`read_rows`][otel_wandb_bridge.testing.read_rows], at the call and not at
    the first record. One iterator belongs to one thread. The file is closed when the iterator ends.
    """
    path = find_wandb_file(source)
    with path.open("rb") as stream:
        found = stream.read(len(HEADER))
    # A writer killed at once leaves a part of the header, often nothing at all: a torn tail like any other.
    if not HEADER.startswith(found):
        raise ValueError(
            f"{path}: not a .wandb file this can read: begins with {found!r}, expected {HEADER!r}"
        )
    return _records(path)


def _records(path: Path) -> Iterator[Record]:
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    with path.open("rb") as stream:
        for number, body in enumerate(read_log(stream), start=1):
            record = Record()
            # The checksum was right, so this is no damage that could be skipped: the format is another one.
            try:
                record.ParseFromString(body)
            except DecodeError as error:
                raise ValueError(f"{path}: record {number} is not a W&B record: {error}") from error
            yield record


def _fold(state: dict[str, Any], change: Any) -> None:
    """Apply a summary or config record to ``state``."""
    for item in change.update:
        put(state, _path(item), _value(item))
    for item in change.remove:
        remove(state, _path(item))


def _path(item: Any) -> Sequence[str]:
    return item.nested_key or (item.key,)


def _value(item: Any) -> Any:
    # Typed values came with later versions of wandb, for history only; asking an older one is an error.
    kind = item.WhichOneof("value") if "value" in item.DESCRIPTOR.oneofs_by_name else None
    if kind == "none":
        return None
    if kind is not None and kind != "json":
        return getattr(item, kind)
    text = item.json if kind == "json" else item.value_json
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the value of {'.'.join(_path(item))!r} is not JSON: {text[:80]!r}") from error
