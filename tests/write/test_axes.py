"""The axis that somebody has defined for a key is never taken away, and ours is on all the others."""

import itertools
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import wandb
from wandb import wandb_run
from watched_run import WatchedRun

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import FakeRun, read_records, read_rows
from otel_wandb_bridge.write.axes import Axes, axes_of, defining, watch_definitions
from otel_wandb_bridge.write.hooks import hook_of
from otel_wandb_bridge.write.writer import RunWriter

PROGRAM = """
import wandb
from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging as flush
from otel_wandb_bridge.wandb_step_fix import patch_wandb_log, unpatch_wandb_log

patch_wandb_log(flush_interval=3600)


def names(run):
    wandb.define_metric("loss", step_metric="epoch")
    run.define_metric("reward", step_metric=run.define_metric("episode"))
    run.define_metric(name="a\\\\.b", step_metric="epoch")
    run.log({"loss": 1, "reward": 2, "a.b": 3, "free": 4, "c.d": 4, "epoch": 5, "episode": 6}, step=7)


def saved(run):
    unpatch_wandb_log()
    define, define_too = run.define_metric, wandb.define_metric
    patch_wandb_log(flush_interval=3600)
    define("loss", step_metric="epoch")
    define_too("reward", "episode")
    wandb.log({"loss": 1, "reward": 2, "free": 4, "epoch": 5, "episode": 6}, step=7)


def globs(run):
    run.define_metric("eval/*", step_metric="epoch")
    run.log({"eval/loss": 1, "eval/deep/loss": 2, "evaluation": 3, "epoch": 5}, step=7)


def all_keys(run):
    run.define_metric("train/global_step")
    run.define_metric("*", step_metric="train/global_step", step_sync=True)
    run.log({"train/loss": 1.0, "train/global_step": 0})
    run.log({"train/loss": 0.5, "train/global_step": 10})
    flush()
    run.log({"mine": 10}, step=10)
    run.log({"train/loss": 0.2, "train/global_step": 30})
    flush()
    run.log({"late": 20}, step=20)


def some_keys(run):
    run.define_metric("trainer/global_step")
    run.define_metric("val/*", step_metric="trainer/global_step")
    run.log({"val/loss": 1}, step=3)
    flush()
    run.log({"mine": 1}, step=4)


def defined_later(run):
    run.log({"loss": 1, "reward": 1, "eval/loss": 1, "free": 1}, step=0)
    flush()
    run.log({"epoch": 9, "round": 8}, step=1)
    run.define_metric("loss", step_metric="epoch")
    run.define_metric("eval/*", step_metric="round")
    run.log({"loss": 2, "reward": 2, "eval/loss": 2, "free": 2}, step=2)
    flush()
    run.log({"eval/loss": 3}, step=3)


def all_defined_later(run):
    run.define_metric("epoch")
    run.log({"loss": 1, "epoch": 0}, step=0)
    flush()
    run.define_metric("*", step_metric="epoch")
    run.log({"loss": 2, "epoch": 1}, step=1)


def redefined(run):
    run.define_metric("loss", step_metric="epoch")
    run.log({"loss": 1, "epoch": 0, "round": 0}, step=0)
    flush()
    run.define_metric("loss", step_metric="round")
    run.log({"loss": 2, "epoch": 1, "round": 1}, step=1)


def without_an_axis(run):
    run.define_metric("loss", summary="min")
    run.log({"loss": 1}, step=0)
    run.log({"loss": 2}, step=1)


def not_the_step(run):
    run.log({"loss": 1, "global_step": 0}, step=0)
    run.log({"loss": 2, "global_step": 16}, step=1)
    flush()
    run.log({"loss": 3, "global_step": 32, "late": 1}, step=2)
    run.log({"loss": 4, "global_step": [1, 2]}, step=3)
    flush()
    run.log({"loss": 5}, step=4)


def the_step(run):
    for step in range(3):
        run.log({"loss": step, "global_step": step * 10})


def many_keys(run):
    run.define_metric("named", summary="max")
    run.log({**{f"k/{number}": number for number in range(600)}, "named": 1}, step=0)
    flush()
    run.log({"more": 1, "epoch": 3}, step=1)
    run.define_metric("k/1*", step_metric="epoch")
    run.define_metric("more", summary="min")
    run.log({"k/1": 2, "k/2": 2, "k/1new": 1, "new": 1}, step=2)


def many_keys_and_a_glob(run):
    run.define_metric("k/1*", step_metric="epoch")
    run.log({**{f"k/{number}": number for number in range(600)}, "epoch": 1}, step=0)


for scenario in (
    many_keys, many_keys_and_a_glob,
    names, saved, globs, all_keys, some_keys, defined_later, all_defined_later, redefined, without_an_axis,
    not_the_step, the_step,
):
    with wandb.init(id=scenario.__name__) as run:
        scenario(run)
"""


@dataclass(frozen=True)
class Definition:
    name: str
    axis: str
    summary: str


@dataclass(frozen=True)
class Stored:
    """What a run has left behind."""

    definitions: list[Definition]
    rows: list[dict[str, Any]]

    def axes(self, *keys):
        """The axis by name of each key, as W&B has it: the last that was defined; None: by nobody."""
        return [
            next((each.axis for each in reversed(self.definitions) if each.name == key and each.axis), None)
            for key in keys
        ]

    def pairs(self, key, axis):
        """Value of the axis, and of the key, in the order of the file."""
        return [(row.get(axis), row[key]) for row in self.rows if key in row]


def stored(file):
    metrics = [record.metric for record in read_records(file) if record.WhichOneof("record_type") == "metric"]
    definitions = [
        Definition(each.name or each.glob_name, each.step_metric, str(each.summary).strip())
        for each in metrics
    ]
    return Stored(definitions, read_rows(file))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All the runs of the program above, by name."""
    directory = tmp_path_factory.mktemp("axes")
    (directory / "program.py").write_text(PROGRAM)
    surroundings = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=directory,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (0, "") == (ended.returncode, ended.stdout), ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    files = (directory / "wandb").glob("*run-*/*.wandb")
    return {file.stem.removeprefix("run-"): stored(file) for file in files}


@pytest.fixture
def nobody_watches():
    """Whatever writers other tests have left open."""
    hook = hook_of(wandb_run.Run, "_define_metric")
    while hook._needs:
        hook._take_off(next(iter(hook._needs)))


@pytest.mark.usefixtures("nobody_watches")
def test_definitions_go_through_the_method_that_is_watched(tmp_path):
    """Should W&B rename `Run._define_metric`, ours would silently take keys from other axes."""
    assert hasattr(wandb_run.Run, "_define_metric"), (
        "wandb.Run has no _define_metric any more: write/axes.py wraps it"
    )
    with wandb.init(mode="offline", dir=tmp_path) as run:
        saved = run.define_metric
        end = watch_definitions()
        for number, define in enumerate((saved, run.define_metric, wandb.define_metric)):
            define(f"key {number}", step_metric="epoch")
            define(f"glob {number}/*", step_metric=wandb.define_metric("round"))
        run.define_metric("best/*", step_metric="epoch", summary="max", hidden=True)
        end()
        run.define_metric("afterwards", step_metric="epoch")
    axes = axes_of(run)
    assert {"summary": "max", "hidden": True} == axes.options_of("best/loss")
    assert {} == axes.options_of("glob 0/loss")
    assert ["epoch"] * 3 == [axes.of(f"key {number}") for number in range(3)]
    assert ["round"] * 3 == [axes.of(f"glob {number}/loss") for number in range(3)]
    assert axes.of("afterwards") is None


@pytest.mark.usefixtures("nobody_watches")
def test_nobody_watches_when_the_last_one_has_ended():
    """W&B is as it was, bit for bit."""
    before = vars(wandb_run.Run)["_define_metric"]
    first, second = watch_definitions(), watch_definitions()
    first()
    assert before is not vars(wandb_run.Run)["_define_metric"]
    second()
    assert before is vars(wandb_run.Run)["_define_metric"]


def test_a_writer_that_cannot_be_made_leaves_nothing_behind(tmp_path):
    """For a finished run W&B raises, and its methods are as they were."""
    with wandb.init(mode="offline", dir=tmp_path) as run:
        pass
    before = dict(vars(wandb_run.Run))
    with pytest.raises(wandb.errors.UsageError):
        RunWriter(run, "global_step", Ledger())
    assert before == dict(vars(wandb_run.Run))


@pytest.mark.usefixtures("nobody_watches")
def test_a_writer_that_is_let_go_of_leaves_nothing_behind():
    """Nor does one for whose run W&B does not answer: its error is the one that is raised."""

    run = WatchedRun()
    before = dict(vars(wandb_run.Run)), dict(vars(WatchedRun))
    writer = RunWriter(run, "global_step", Ledger())
    assert before != (dict(vars(wandb_run.Run)), dict(vars(WatchedRun)))
    writer.close()
    assert before == (dict(vars(wandb_run.Run)), dict(vars(WatchedRun)))
    run.is_deaf = True
    with pytest.raises(ConnectionError, match="no answer"):
        RunWriter(run, "global_step", Ledger())
    assert before == (dict(vars(wandb_run.Run)), dict(vars(WatchedRun)))


def test_what_wandb_refuses_is_no_definition(tmp_path):
    """It raises what it would raise, at the caller."""
    end = watch_definitions()
    with wandb.init(mode="offline", dir=tmp_path) as run:
        with pytest.raises(wandb.errors.Error):
            run.define_metric("a*b", step_metric="epoch")
        with pytest.raises(wandb.errors.Error):
            run.define_metric("loss", step_metric=3)
    end()
    assert [None, None] == [axes_of(run).of(key) for key in ("ab", "loss")]


def test_what_another_thread_defines_while_we_define_is_theirs(tmp_path):
    """Only the thread that is inside is ours."""
    end = watch_definitions()
    with wandb.init(mode="offline", dir=tmp_path) as run, defining():
        run.define_metric("ours", step_metric="global_step")
        other = threading.Thread(target=run.define_metric, args=["theirs", "epoch"])
        other.start()
        other.join()
    end()
    assert [None, "epoch"] == [axes_of(run).of(key) for key in ("ours", "theirs")]


def axes(**definitions):
    made = Axes()
    for name, axis in definitions.items():
        made.note(name, axis)
    return made


def test_a_name_stands_before_a_glob_and_a_long_glob_before_a_short_one():
    """Whichever came first. (W&B picks any of several globs that match.)"""
    known = axes(**{"eval/deep/*": "deep", "*": "all", "eval/*": "eval", "eval/deep/loss": "name"})
    assert "name" == known.of("eval/deep/loss")
    assert "deep" == known.of("eval/deep/accuracy")
    assert "eval" == known.of("eval/loss")
    assert "all" == known.of("evaluation")


def test_an_escaped_dot_is_a_dot_of_the_key():
    """In a name, as in a glob."""
    known = axes(**{"a\\.b": "name", "c\\.d/*": "glob"})
    assert ["name", "glob", None] == [known.of(key) for key in ("a.b", "c.d/e", "a\\.b")]


def test_a_definition_without_an_axis_says_nothing_about_axes():
    """`define_metric("loss", summary="min")`."""
    known = axes(loss=None, reward="")
    assert [None, None] == [known.of("loss"), known.of("reward")]
    assert 0 == known.version


def test_the_last_definition_of_a_name_counts():
    """As in W&B."""
    known = axes(loss="epoch")
    known.note("loss", "round")
    assert "round" == known.of("loss")


def test_each_run_has_its_own_definitions():
    """Keys are alike in most runs."""
    one, other = FakeRun(), FakeRun()
    axes_of(one).note("loss", "epoch")
    assert ["epoch", None] == [axes_of(run).of("loss") for run in (one, other)]


def test_a_row_carries_each_step_key_that_is_an_axis_of_its_keys_and_no_other():
    """With the exact step of the row, late or not; a value that was logged under it stays."""
    run = FakeRun()
    writer = RunWriter(run, "global_step", Ledger(), ("train/global_step", "trainer/global_step"))
    axes_of(run).note("t/*", "train/global_step")
    axes_of(run).note("l/*", "trainer/global_step")
    axes_of(run).note("e/*", "epoch")
    writer.take(Row(5, {"t/a": 1, "e/a": 1, "free": 1}, 0.0, 3))
    writer.take(Row(3, {"t/a": 2, "l/a": 2}, 0.0, 2, late=True))
    writer.take(Row(7, {"free": 3}, 0.0, 1))
    writer.take(Row(8, {"t/a": 4, "train/global_step": 80}, 0.0, 2))
    writer.flush()
    steps = ("global_step", "train/global_step", "trainer/global_step", "epoch")
    assert [
        [5, 5, None, None],
        [3, 3, 3, None],
        [7, None, None, None],
        [8, 80, None, None],
    ] == [[row.get(key) for key in steps] for row in run.rows]
    assert {"global_step", "free", "train/global_step"} == run.metrics.keys()


class DefinedRun(FakeRun):
    """Remembers what was defined, in order; and refuses some of it."""

    def __init__(self, *refused):
        super().__init__()
        self.refused = refused
        self.defined = []

    def define_metric(self, name, **options):
        self.defined.append(name)
        if name in self.refused:
            raise wandb.errors.Error("no such name")
        super().define_metric(name, **options)

    def axis(self, name):
        return self.metrics[name]["step_metric"]


@pytest.fixture
def write():
    """Write rows of these values to a run, one step after the other."""
    writers, steps = {}, itertools.count()

    def write_to(run, *rows):
        if run not in writers:
            writers[run] = RunWriter(run, "global_step", Ledger(), ("train/global_step",))
        for values in rows:
            writers[run].take(Row(next(steps), values, 0.0, len(values)))
            assert writers[run].flush()

    yield write_to
    for writer in writers.values():
        writer.close()


def many(count=600, prefix="k"):
    return {f"{prefix}/{number}": number for number in range(count)}


def test_each_name_is_defined_once_nested_ones_too(write):
    """What describes a file is no nesting, and W&B's own keys are its own."""
    run = DefinedRun()
    file = {"_type": "image-file", "path": "a.png"}
    write(run, {"a": 1, "_own": 1, "picture": file}, {"a": 2, "b": {"c": 1}}, {"b": {"c": 2, "d": {"e": 3}}})
    assert ["global_step", "a", "picture", "b", "b.c", "b.d", "b.d.e"] == run.defined


def test_many_new_keys_are_defined_by_one_glob_and_a_few_by_their_names(write):
    """One glob is enough for all that come later."""
    run, smaller = DefinedRun(), DefinedRun()
    write(run, many(), many(prefix="l"), {"loss": 1})
    assert ["global_step", "*"] == run.defined
    assert "global_step" == run.axis("*")
    write(smaller, many(500))
    assert 501 == len(smaller.defined)
    assert "*" not in smaller.defined


@pytest.mark.parametrize("said", [{"step_metric": "epoch"}, {"step_metric": None, "summary": "max"}], ids=str)
def test_beside_a_glob_of_somebody_else_there_is_none_of_ours(write, said):
    """Whatever it says."""
    run = DefinedRun()
    axes_of(run).note("other/*", **said)
    write(run, many())
    assert "*" not in run.defined


def test_where_wandb_refuses_a_definition_the_row_is_written_all_the_same(write, caplog):
    """It is said; and where it is our glob, each key is defined by its name."""
    run = DefinedRun("*", "k/7")
    write(run, many())
    assert 1 == len(run.rows)
    assert 599 + 1 == len(run.metrics)
    assert "'k/7': W&B refused to define it: " in caplog.text


def test_a_name_that_somebody_has_defined_is_left_alone_beside_our_glob(write):
    """With an axis it is not even said; without one it is said on ours, for our glob is the weaker."""
    run = DefinedRun()
    axes_of(run).note("k/1", "epoch")
    axes_of(run).note("k/2", None, summary="max")
    write(run, many())
    axes_of(run).note("k/3", None, summary="min")
    write(run, many())
    assert {"global_step", "*", "k/2", "k/3"} == {*run.defined}
    assert ["global_step"] * 2 == [run.axis("k/2"), run.axis("k/3")]


def test_with_the_axis_our_glob_is_left_behind(write, caplog):
    """Keys are defined on the new one, also those that are known already."""
    run = DefinedRun()
    write(run, {"loss": 1, **many()}, {"loss": 2, "global_step": 77}, {"k/1": 2})
    assert ["bridge/global_step"] * 3 == [run.axis(name) for name in ("loss", "k/1", "global_step")]
    assert "'bridge/global_step' is the axis from here on" in caplog.text
    other = DefinedRun()
    write(other, {"loss": 1}, {"loss": 2, "global_step": 77})
    assert "bridge/global_step" == other.axis("loss")


def test_a_glob_that_comes_later_says_of_a_key_what_it_says(write):
    """W&B would take none of it from the glob: our definition by name is the stronger one."""
    run = DefinedRun()
    write(run, {"k/a": 1, "k/longer/b": 1, "other": 1})
    axes_of(run).note("k/*", None, summary="max")
    axes_of(run).note("k/longer/*", None, summary="min")
    write(run, {"k/a": 2, "k/longer/b": 2, "k/c": 2, "other": 2})
    wanted = {"k/a": "max", "k/longer/b": "min", "k/c": "max", "other": None}
    assert wanted == {name: run.metrics[name]["summary"] for name in wanted}
    assert {"global_step"} == {run.axis(name) for name in wanted}
    assert 1 == run.defined.count("other")


def test_a_glob_that_comes_later_takes_along_what_nobody_has_named(write):
    """Neither our axis nor theirs; and each is said once, however much is defined afterwards."""
    run = DefinedRun()
    write(run, {"loss": 1, "named": 1, "epoch": 1})
    axes_of(run).note("named", None, summary="max")
    axes_of(run).note("*", "epoch", summary="min")
    for _ in range(2):
        write(run, {"loss": 2, "named": 2, "epoch": 2})
        axes_of(run).note("more", "epoch")
    assert ["epoch", "global_step", "global_step"] == [run.axis(name) for name in ("loss", "named", "epoch")]
    assert run.axis("global_step") is None
    assert (2, 1, 1) == tuple(run.defined.count(name) for name in ("loss", "named", "global_step"))


def test_a_glob_that_comes_later_says_nothing_of_our_axis_and_of_what_stands_on_another(write):
    """The axis has none itself, and what they have put on theirs they have said all of."""
    run = DefinedRun()
    axes_of(run).note("loss", "epoch")
    write(run, {"loss": 1, "other": 1})
    axes_of(run).note("*", None, summary="max")
    write(run, {"loss": 2, "other": 2})
    assert ["global_step", "other", "other"] == run.defined


def test_what_is_defined_by_name_after_us_is_not_said_again(write):
    """Ours would take its summary back; without our glob, the axis is by name already."""
    run = DefinedRun()
    write(run, {"loss": 1})
    axes_of(run).note("loss", None, summary="max")
    write(run, {"loss": 2})
    assert ["global_step", "loss"] == run.defined


def test_a_row_carries_the_step_key_on_which_a_key_was_put_later(write):
    """By its name. A glob does not move a name that somebody has defined without an axis."""
    run = DefinedRun()
    write(run, {"loss": 1}, {"named": 1})
    axes_of(run).note("loss", "train/global_step")
    axes_of(run).note("named", None, summary="max")
    axes_of(run).note("*", "train/global_step")
    write(run, {"loss": 2}, {"named": 2})
    assert [None, None, 2, None] == [row.get("train/global_step") for row in run.rows]


def test_a_name_that_somebody_has_defined_keeps_its_axis(runs):
    """By `wandb.define_metric`, by `run.define_metric`, with a `Metric` for the axis, with an escaped dot."""
    run = runs["names"]
    assert ["epoch", "episode", "epoch"] == run.axes("loss", "reward", "a\\.b")
    assert ["global_step"] * 2 == run.axes("free", "epoch")
    assert ["global_step"] == run.axes("c\\.d")
    assert 1 == sum(each.name == "loss" for each in run.definitions), "ours is not even said"


def test_a_method_that_was_bound_before_the_patch_is_seen_too(runs):
    """`define = run.define_metric`, as frameworks keep it."""
    assert ["epoch", "episode", "global_step"] == runs["saved"].axes("loss", "reward", "free")


def test_a_key_that_a_glob_matches_gets_no_definition_of_ours(runs):
    """A name would be stronger than their glob."""
    run = runs["globs"]
    assert "global_step" not in run.axes("eval/loss", "eval/deep/loss")  # wandb 0.18 itself names `epoch`
    assert ["epoch"] == run.axes("eval/*")
    assert ["global_step"] == run.axes("evaluation")


def test_where_a_framework_has_defined_all_keys_rows_carry_its_axis(runs):
    """Transformers does; what its axis does not say itself is stamped with the exact step, late or not."""
    run = runs["all_keys"]
    assert [] == [each for each in run.definitions if each.axis == "global_step"]
    axis = "train/global_step"
    assert [(0, 1.0), (10, 0.5), (30, 0.2)] == run.pairs("train/loss", axis)
    assert [(10, 10)] == run.pairs("mine", axis)
    assert [(20, 20)] == run.pairs("late", axis)
    assert [0, 10, 10, 20, 30] == sorted(row["global_step"] for row in run.rows)


def test_where_a_framework_has_defined_some_keys_only_their_rows_carry_its_axis(runs):
    """Lightning's axis in the rows of its keys; the others are on ours."""
    run = runs["some_keys"]
    assert [(3, 1)] == run.pairs("val/loss", "trainer/global_step")
    assert [(None, 1)] == run.pairs("mine", "trainer/global_step")
    assert [(4, 1)] == run.pairs("mine", "global_step")
    assert "global_step" not in run.axes("val/loss")
    assert ["global_step"] == run.axes("mine")


def test_a_definition_that_comes_after_ours_takes_the_key_along(runs):
    """By name; and by a glob, which would not take back a name in W&B. The other keys stay on our axis."""
    run = runs["defined_later"]
    assert ["epoch", "round"] == run.axes("loss", "eval/loss")
    assert ["global_step"] * 2 == run.axes("reward", "free")
    names = [each.name for each in run.definitions]
    assert [1, 1] == [names.count(name) for name in ("reward", "free")]


def test_the_value_of_the_axis_is_still_filled_in_by_wandb(runs):
    """`step_sync`, which W&B switches on for an axis, is not switched off by ours."""
    run = runs["defined_later"]
    assert [(None, 1), (9, 2)] == run.pairs("loss", "epoch")


def test_a_glob_that_comes_after_ours_puts_no_axis_on_itself(runs):
    """`define_metric("*", step_metric="epoch")`: epoch over epoch would be a diagonal."""
    run = runs["all_defined_later"]
    assert ["epoch"] == run.axes("loss")
    assert [] == [each for each in run.definitions if each.name == each.axis]


def test_who_defines_an_axis_anew_gets_the_new_one(runs):
    """Ours does not come in between."""
    run = runs["redefined"]
    assert [("loss", "epoch"), ("loss", "round")] == [
        (each.name, each.axis) for each in run.definitions if each.name == "loss"
    ]


def test_a_summary_that_somebody_has_defined_stays_beside_our_axis(runs):
    """Definitions of one name add up in W&B, as long as none is an `overwrite`."""
    run = runs["without_an_axis"]
    assert [("", True), ("global_step", False)] == [
        (each.axis, "min" in each.summary) for each in run.definitions if each.name == "loss"
    ]


def test_values_under_our_axis_that_are_not_the_step_are_the_users(runs):
    """They stand in their rows untouched, whatever they are, and our axis is another key from then on."""
    run = runs["not_the_step"]
    assert [(0, 1), (16, 2), (32, 3), ([1, 2], 4), (None, 5)] == [
        (row.get("global_step"), row["loss"]) for row in run.rows
    ]
    assert [(1, 2), (2, 3), (3, 4), (4, 5)] == run.pairs("loss", "bridge/global_step")[1:]
    assert ["bridge/global_step"] * 2 == run.axes("loss", "late")


def test_values_under_our_axis_that_are_the_step_leave_it_where_it_is(runs):
    """Many programs log `global_step` and mean the step by it."""
    run = runs["the_step"]
    assert [(0, 0), (10, 1), (20, 2)] == run.pairs("loss", "global_step")
    assert "bridge/" not in json.dumps(run.rows)


def test_definitions_of_one_run_are_not_of_the_next(runs):
    """They have many keys in common."""
    assert ["epoch"] == runs["names"].axes("loss")
    assert ["global_step"] == runs["the_step"].axes("loss")


def test_a_row_of_many_keys_is_defined_by_one_glob(runs):
    """And by its name what somebody else says something of, before or after, in whichever way."""
    run = runs["many_keys"]
    assert ["global_step"] == run.axes("*")
    assert [None] * 3 == run.axes("k/2", "k/200", "new")
    assert ["global_step"] * 2 == run.axes("named", "more")
    assert ["epoch"] * 3 == run.axes("k/1", "k/100", "k/1new")
    assert 130 > len(run.definitions)


def test_where_somebody_has_a_glob_each_key_is_defined_by_its_name(runs):
    """Two globs that match the same key bind it at random."""
    run = runs["many_keys_and_a_glob"]
    assert [None, "global_step", "global_step"] == run.axes("*", "k/2", "k/599")
    assert [None, "epoch"] == run.axes("k/1", "k/1*")
