"""Training programs of frameworks, each run as it is, and with the drop-in switched on by its variable.

What a program says is recorded in the first run, in which nothing of ours takes part, and compared with what
each run has kept. So the programs are deterministic, but for the times that frameworks measure (`TIMED`).
"""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from otel_wandb_bridge.testing import read_records, read_rows, read_summary

PROGRAMS = Path(__file__).parent
SURROUNDINGS = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
AXIS = "global_step"
STEP_KEYS = ("train/global_step", "trainer/global_step", AXIS)
OWN = ("_step", "_timestamp", "_runtime", *STEP_KEYS)
TIMED = ("runtime", "per_second", "Time taken", "step_time")
FIX = {"WANDB_STEP_FIX_ENABLED": "true"}
FIXED = {
    "fixed": FIX,
    # Rows are committed at once, and whatever comes after that is late.
    "hurried": {
        **FIX,
        "WANDB_STEP_FIX_BUFFER_SIZE": "2",
        "WANDB_STEP_FIX_FLUSH_INTERVAL": "0.01",
        "OTEL_WANDB_HOLD": "0",
    },
}


@dataclass
class Said:
    """A value that the program logged, and where it belongs."""

    key: str
    value: Any
    steps: set[int | None]
    """Mostly one; more where it is open in which row `commit=False` ends up. None: no step was known yet."""
    given: bool = False
    """With `step=`: the later value of a key at its step stands."""


@dataclass
class Record:
    """What the program logged."""

    said: list[Said] = field(default_factory=list)
    overwritten: list[Said] = field(default_factory=list)
    """What a later value of the same key with the same `step=` took the place of: it may be there still."""
    alone: list[list[Said]] = field(default_factory=list)
    """The calls of which W&B makes a row of its own: without any step, and `commit=False` before them."""

    @classmethod
    def of(cls, calls: Iterable[Mapping[str, Any]]) -> "Record":
        """By the rule: `step=`, else a step key among the values, else the step that is current then."""
        record = cls()
        current: set[int | None] = {None}
        highest = -1
        partial: dict[str, Said] = {}
        for call in calls:
            values = {key: value for key, value in call["values"].items() if key not in STEP_KEYS}
            step = call["step"]
            if step is None:
                step = next((int(call["values"][key]) for key in STEP_KEYS if key in call["values"]), None)
            if step is not None:
                highest = max(step, highest)
                current = {step, highest}  # whether a straggler moves the current one is open
            if call["step"] is not None:
                record._add_given(values, step)
                # The row of the partial is over, or this one.
                _may_be_at(partial, {step})
                partial = {}
                continue
            now = {
                key: Said(key, value, set(current if step is None else {step}))
                for key, value in values.items()
            }
            overwritten = [partial[key] for key in partial.keys() & now.keys()]
            record.said = [said for said in record.said if not any(said is each for each in overwritten)]
            record.said += now.values()
            _may_be_at(partial, current if step is None else {step})
            partial = {**partial, **now}
            if call["commit"] is not False:
                if step is None:
                    record.alone.append(list(partial.values()))
                partial = {}
        return record

    def _add_given(self, values: Mapping[str, Any], step: int) -> None:
        before = [each for each in self.said if each.given and each.steps == {step} and each.key in values]
        self.said = [each for each in self.said if not any(each is other for other in before)]
        self.overwritten += before
        self.said += [Said(key, value, {step}, given=True) for key, value in values.items()]


@dataclass(frozen=True)
class Training:
    """One run of a program, and what it left behind."""

    code: int
    err: str
    directory: Path
    record: Record

    @cached_property
    def file(self) -> Path:
        """The `.wandb` file of its only W&B run."""
        files = list(self.directory.glob("wandb/*-run-*/*.wandb"))
        assert 1 == len(files), f"ended with {self.code}; {files}; said {self.err[-2000:]}"
        return files[0]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Nested keys joined with dots."""
        return [dict(_flat(row)) for row in read_rows(self.file)]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Of the run."""
        return read_summary(self.file)

    @property
    def rejected(self) -> int:
        """How many calls W&B says that it has thrown away: it says so there, and often only there."""
        log = self.file.parent / "logs" / "debug-internal.log"
        return log.read_text().count("ignoring partial history record")

    def complaints(self) -> list[str]:
        """What was said to the user that is a traceback, or ours."""
        words = ("Traceback", "Error", "otel", "step_fix")
        return [line for line in self.err.splitlines() if any(word in line for word in words)]

    def keys_lost(self) -> set[str]:
        """Keys of which a value is in no row, at whatever step."""
        there: dict[str, list[Any]] = {}
        for row in self.rows:
            for key, value in row.items():
                there.setdefault(key, []).append(value)
        return {
            said.key
            for said in self.record.said
            if not any(_are_alike(said.key, said.value, value) for value in there.get(said.key, ()))
        }

    def lost(self) -> list[Said]:
        """What is in no row of its step. What came n times in calls without a step is to be there n times."""
        alone = {id(said) for call in self.record.alone for said in call}
        left = [dict(row) for row in self.rows]
        lost = []
        for said in sorted(self.record.said, key=lambda said: id(said) not in alone):
            rows = left if id(said) in alone else self.rows
            place = next((row for row in rows if _fits(said, row)), None)
            if place is None:
                lost.append(said)
            elif id(said) in alone:
                del place[said.key]
        return lost

    def never_said(self) -> list[tuple[str, Any, int | None]]:
        """Values in the rows that the program did not log, or not for that step."""
        by_key: dict[str, list[Said]] = {}
        for said in (*self.record.said, *self.record.overwritten):
            by_key.setdefault(said.key, []).append(said)
        return [
            (key, value, row.get(AXIS))
            for row in self.rows
            for key, value in _payload(row).items()
            if not any(_fits(said, row) for said in by_key.get(key, ()))
        ]

    def without_a_row_of_their_own(self) -> list[list[Said]]:
        """Calls without any step that are not a row by themselves."""
        left = list(self.rows)
        parted = []
        for call in self.record.alone:
            keys = {said.key for said in call}
            for row in left:
                if keys == _payload(row).keys() and all(_fits(said, row) for said in call):
                    left.remove(row)
                    break
            else:
                parted.append(call)
        return parted

    def rows_with(self, *keys: str) -> dict[int, int]:
        """By step (-1: none), the number of rows that have any of these keys."""
        steps = Counter(row.get(AXIS, -1) for row in self.rows if not row.keys().isdisjoint(keys))
        return dict(sorted(steps.items()))

    def axes(self) -> dict[str, str]:
        """By key, the axis of its chart as W&B has it: defined for its name, else for the longest glob."""
        metrics = [record.metric for record in read_records(self.file) if record.HasField("metric")]
        names = {each.name.replace("\\.", "."): each.step_metric for each in metrics if each.name}
        globs = {each.glob_name.removesuffix("*"): each.step_metric for each in metrics if each.glob_name}
        keys = {key for row in self.rows for key in _payload(row)}
        return {key: _axis(key, names, globs) for key in sorted(keys)}

    def off_the_axis(self, axis: str) -> list[dict[str, Any]]:
        """Rows that have another step on this axis than on ours."""
        return [row for row in self.rows if AXIS in row and row.get(axis) != row[AXIS]]

    def missing_files(self) -> list[str]:
        """Files of media that rows point to and that are not there."""
        media = [value for row in self.rows for value in row.values() if _is_medium(value)]
        files = self.file.parent / "files"
        return [each["path"] for each in media if "path" in each and not (files / each["path"]).exists()]


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """Run a program of this folder as it is and in all `FIXED`, once a session."""
    done: dict[str, dict[str, Training]] = {}

    def train(program: str) -> dict[str, Training]:
        if program not in done:
            directory = tmp_path_factory.mktemp(program)
            calls = directory / "calls.jsonl"
            native = _run(program, directory / "native", {"RECORD_CALLS": str(calls)})
            assert calls.exists(), f"{program} logged nothing: {native[:2]}"
            record = Record.of(map(json.loads, calls.read_text().splitlines()))
            fixed = {name: _run(program, directory / name, variables) for name, variables in FIXED.items()}
            done[program] = {
                name: Training(*each, record) for name, each in {"native": native, **fixed}.items()
            }
        return done[program]

    return train


@pytest.fixture(scope="module")
def native(request, train):
    """The run of the module's `PROGRAM` as it is."""
    return train(request.module.PROGRAM)["native"]


@pytest.fixture(scope="module")
def fixed(request, train):
    """The same program, with the variable set."""
    return train(request.module.PROGRAM)["fixed"]


@pytest.fixture(scope="module")
def hurried(request, train):
    """The same, where no row waits for anybody."""
    return train(request.module.PROGRAM)["hurried"]


def _run(name: str, directory: Path, variables: Mapping[str, str]) -> tuple[int, str, Path]:
    directory.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "WANDB_"))}
    try:
        ended = subprocess.run(
            [sys.executable, str(PROGRAMS / name)],
            cwd=directory,
            env={**kept, **SURROUNDINGS, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=80,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{name} still running after {error.timeout} s; said {error.stderr!r}")
    return ended.returncode, ended.stderr, directory


def _may_be_at(partial: Mapping[str, Said], steps: set[int | None]) -> None:
    for said in partial.values():
        said.steps |= steps


def _flat(row: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and not _is_medium(value):
            yield from _flat(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def _payload(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in OWN}


def _fits(said: Said, row: Mapping[str, Any]) -> bool:
    return said.key in row and row.get(AXIS) in said.steps and _are_alike(said.key, said.value, row[said.key])


def _are_alike(key: str, said: Any, stored: Any) -> bool:
    if isinstance(said, dict):
        return _is_medium(stored)
    if said is None or isinstance(said, str) or not isinstance(stored, int | float):
        return said == stored
    if math.isnan(said) or math.isnan(stored):
        return math.isnan(said) and math.isnan(stored)
    return any(word in key for word in TIMED) or math.isclose(said, stored, rel_tol=1e-6)


def _is_medium(value: Any) -> bool:
    return isinstance(value, dict) and "_type" in value


def _axis(key: str, names: Mapping[str, str], globs: Mapping[str, str]) -> str:
    if key in names:
        return names[key]
    return max(((stem, axis) for stem, axis in globs.items() if key.startswith(stem)), default=("", "_step"))[
        1
    ]
