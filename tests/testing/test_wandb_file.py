import contextlib
import math
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_writer import HEADER, write_log
from wandb.proto import wandb_internal_pb2 as pb

from otel_wandb_bridge.testing import read_config, read_records, read_rows, read_summary

DEEP, LONG = "[" * 100_000, "9" * 9_000
READERS = [read_config, read_records, read_rows, read_summary]


def test_a_row_comes_back_as_it_was_logged(real_run):
    """Scalars, text, NaN, infinities, nested dicts, lists and histograms make the round trip."""
    row = read_rows(real_run)[0]

    nan = row.pop("nan")
    in_list = row["list"][1].pop("a")
    assert math.isnan(nan)
    assert math.isnan(in_list)
    assert row.pop("_timestamp") > 1e9
    assert 0 <= row.pop("_runtime") < 60
    assert {
        "_step": 3,
        "integer": 1,
        "number": 2.5,
        "flag": True,
        "nothing": None,
        "text": "é\n",
        "train/loss": 0.25,
        "dotted.key": 3,
        "inf": math.inf,
        "minus_inf": -math.inf,
        "nested": {"x": 1, "y": {"z": "deep"}},
        "list": [1, {}],
        "histogram": {"_type": "histogram", "values": [1, 2], "bins": [1, 2, 3]},
    } == row


def test_rows_come_in_the_order_of_the_file_and_may_be_longer_than_its_blocks(real_run):
    """A value of 100 kB lies across four blocks of 32 KiB, and the rows behind it are found."""
    rows = read_rows(real_run)

    assert [3, 7, *range(10, 20)] == [row["_step"] for row in rows]
    assert "x" * 100_000 == rows[1]["long"]
    assert [{"i": step} for step in range(10, 20)] == [row["tail"] for row in rows[2:]]


def test_the_summary_is_the_last_one(real_run):
    """What was logged, set, set inside and removed has left its mark."""
    summary = read_summary(real_run)

    assert (19, 19, {"i": 19}) == (summary["_step"], summary["i"], summary["tail"])
    assert {"loss": 0.1, "step": 7} == summary["best"]
    assert "long" not in summary


def test_the_config_is_the_last_one(real_run):
    """First values, changes and additions are folded."""
    config = read_config(real_run)
    config.pop("_wandb")

    assert {"lr": 0.2, "batch": 8, "model": {"layers": 2}} == config


def test_a_run_is_found_from_its_object_its_directories_and_its_file(real_run, real_file):
    """All of them mean the same rows."""
    rows = read_rows(real_file)
    sources = [real_run, str(real_file), real_file.parent, str(real_file.parent), real_file.parent.parent]

    # NaN is not equal to itself, so not the first row.
    assert [rows[1:]] * len(sources) == [read_rows(source)[1:] for source in sources]


@settings(deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_gives_the_rows_before_the_cut(real_file, data):
    """No exception, no half row, no row missing that was whole."""
    whole = real_file.read_bytes()
    steps = [row["_step"] for row in read_rows(real_file)]
    # Most of the file is one long value; the small rows are in the last few kilobytes.
    cut = data.draw(st.integers(0, len(whole)) | st.integers(len(whole) - 4000, len(whole)))
    whole_rows = sum(end <= cut for end in _row_ends(real_file))

    with _file(whole[:cut]) as torn:
        assert steps[:whole_rows] == [row["_step"] for row in read_rows(torn)]


def test_a_damaged_row_is_left_out_and_the_rows_behind_it_are_kept(real_file, tmp_path):
    """One flipped byte in row 12 costs row 12."""
    damaged = bytearray(real_file.read_bytes())
    damaged[_row_ends(real_file)[4] - 3] ^= 0xFF
    copy = tmp_path / "run-x.wandb"
    copy.write_bytes(damaged)

    assert [3, 7, 10, 11, *range(13, 20)] == [row["_step"] for row in read_rows(copy)]


@pytest.mark.parametrize("length", range(len(HEADER) + 1))
def test_a_file_that_ends_within_its_header_has_no_rows(tmp_path, length):
    """A writer killed at once leaves an empty file."""
    path = tmp_path / "run-x.wandb"
    path.write_bytes(HEADER[:length])

    assert [] == read_rows(path)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", HEADER]))
def test_garbage_raises_value_error_or_nothing(garbage, before):
    """No reader lets another exception out."""
    with _file(before + garbage) as path:
        _only_value_errors(path)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=60) | st.builds(lambda tail: b"\x12\x10\x0a" + tail, st.binary(max_size=20)))
)
def test_records_that_are_no_records_raise_value_error_or_nothing(bodies):
    """A right checksum around nonsense is another format, not damage."""
    with _file(write_log(bodies)[0]) as path:
        _only_value_errors(path)


@settings(deadline=None)
@given(st.data())
def test_a_file_whose_bytes_are_changed_costs_a_block_at_most_and_raises_nothing_else(real_file, data):
    """A bad disk: the checksums tell, and rows that are read are rows that were written."""
    damaged = bytearray(real_file.read_bytes())
    rows = {
        row["_step"]: row for row in read_rows(real_file)[1:]
    }  # NaN, in the first, is not equal to itself
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(
            st.integers(len(HEADER), len(damaged) - 1) | st.integers(len(damaged) - 3000, len(damaged) - 1)
        )
        damaged[at] = data.draw(st.integers(0, 255))
    with _file(damaged) as path:
        assert all(row["_step"] == 3 or row == rows[row["_step"]] for row in read_rows(path))


@settings(deadline=None)
@given(st.data())
def test_records_of_a_real_file_that_are_changed_raise_value_error_or_nothing(real_file, data):
    """Written by somebody who knows how to make checksums."""
    bodies = [bytearray(record.SerializeToString()) for record in read_records(real_file)]
    for _ in range(data.draw(st.integers(1, 4))):
        body = data.draw(st.sampled_from([body for body in bodies if body]))
        start = data.draw(st.integers(0, len(body) - 1))
        body[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with _file(write_log(map(bytes, bodies))[0]) as path:
        _only_value_errors(path)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["a", "b", "_step", "", "a.b"]), max_size=4),
            st.sampled_from(["1", "null", "{}", '{"a": {"b": 1}}', "[]", "", "{", "NaN", DEEP, LONG]),
        ),
        max_size=4,
    )
)
def test_hostile_keys_and_values_raise_value_error_or_nothing(items):
    """Nested beyond what Python can follow, numbers beyond what it converts, keys in conflict."""
    record = pb.Record()
    summary = pb.Record()
    for path, text in items:
        record.history.item.add(nested_key=path, value_json=text)
        summary.summary.update.add(nested_key=path, value_json=text)
        summary.summary.remove.add(nested_key=path)
    with _file(write_log([each.SerializeToString() for each in (record, summary)])[0]) as path:
        _only_value_errors(path)


def test_a_file_that_is_not_a_wandb_file_is_refused_by_name(tmp_path):
    """The error names the path, what was found and what was expected, at the call."""
    path = tmp_path / "run-x.wandb"
    path.write_bytes(b"{}, a JSON file")

    for reader in READERS:
        with pytest.raises(ValueError, match=r"run-x\.wandb.*\{\}, a J.*expected b':W&B"):
            reader(path)


def test_another_version_of_the_format_is_refused(tmp_path):
    """The last byte of the header is the version."""
    path = tmp_path / "run-x.wandb"
    path.write_bytes(HEADER[:-1] + b"\x01")

    with pytest.raises(ValueError, match=r"x01.*expected.*x00"):
        read_rows(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    """By path or by run object, the error names what was looked for."""
    for source in (tmp_path / "run-x.wandb", SimpleNamespace(dir=str(tmp_path / "files"), id="x")):
        with pytest.raises(FileNotFoundError, match=r"run-x\.wandb"):
            read_rows(source)


def test_a_directory_without_a_wandb_file_is_an_error_that_says_what_to_pass(tmp_path):
    """Nothing is searched for further down."""
    with pytest.raises(FileNotFoundError, match="expected a run directory"):
        read_rows(tmp_path)


def test_a_directory_with_several_wandb_files_is_an_error_that_names_them(real_file, tmp_path):
    """Which run is meant is not guessed."""
    shutil.copy(real_file, tmp_path / "run-a.wandb")
    shutil.copy(real_file, tmp_path / "run-b.wandb")

    with pytest.raises(ValueError, match=r"found 2: run-a\.wandb, run-b\.wandb"):
        read_rows(tmp_path)


def test_the_step_of_a_row_without_one_is_that_of_its_record(tmp_path):
    """Only the row's own ``_step`` comes before it."""
    records = [pb.Record(), pb.Record()]
    for record in records:
        record.history.step.num = 5
    records[1].history.item.add(key="_step", value_json="6")

    assert [{"_step": 5}, {"_step": 6}] == read_rows(_written(records, tmp_path))


@pytest.mark.skipif("value" not in pb.HistoryItem.DESCRIPTOR.oneofs_by_name, reason="only in recent wandb")
def test_typed_values_are_read_like_json_ones(tmp_path):
    """All six forms, under a key or a nested key."""
    record = pb.Record()
    add = record.history.item.add
    add(key="none", none=0)
    add(key="boolean", boolean=False)
    add(key="integer", integer=0)
    add(nested_key=["nested", "number"], number=math.inf)
    add(nested_key=["nested", "text"], text="")
    add(key="json", json='{"a": [1]}')

    assert [
        {
            "_step": 0,
            "none": None,
            "boolean": False,
            "integer": 0,
            "nested": {"number": math.inf, "text": ""},
            "json": {"a": [1]},
        }
    ] == read_rows(_written([record], tmp_path))


def test_nested_keys_are_folded_into_what_is_there(tmp_path):
    """A nested update keeps its siblings, displaces a scalar, and a nested removal takes only its own."""
    first, second = pb.Record(), pb.Record()
    first.summary.update.add(key="a", value_json='{"x": 1, "y": 2}')
    first.summary.update.add(key="b", value_json="3")
    second.summary.update.add(nested_key=["a", "z"], value_json="4")
    second.summary.update.add(nested_key=["b", "c"], value_json="5")
    second.summary.remove.add(nested_key=["a", "x"])
    second.summary.remove.add(nested_key=["nowhere", "x"])

    assert {"a": {"y": 2, "z": 4}, "b": {"c": 5}} == read_summary(_written([first, second], tmp_path))


def _row_ends(path):
    """Return the offset behind each row, from writing the records of the file anew."""
    records = list(read_records(path))
    log, ends = write_log([record.SerializeToString() for record in records])
    assert path.stat().st_size == len(log)
    return [end for record, end in zip(records, ends, strict=True) if record.HasField("history")]


def _written(records, directory):
    path = directory / "run-x.wandb"
    path.write_bytes(write_log([record.SerializeToString() for record in records])[0])
    return path


def _only_value_errors(path):
    for reader in READERS:
        with contextlib.suppress(ValueError):
            list(reader(path))


@contextlib.contextmanager
def _file(content):
    """A file with these bytes, new for each example: Hypothesis does not renew tmp_path."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run-x.wandb"
        path.write_bytes(content)
        yield path
