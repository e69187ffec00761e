import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_writer import BLOCK, HEAD, HEADER, chunk, write_log

from otel_wandb_bridge.testing.leveldb_log import read_log

sizes = st.integers(0, 300) | st.integers(BLOCK - 40, BLOCK + 40) | st.integers(2 * BLOCK, 3 * BLOCK)
records = st.lists(st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.integers(0, 255)), max_size=6)


def read(log):
    return list(read_log(io.BytesIO(log)))


@given(records)
def test_every_record_comes_back_whole(records):
    """Whatever the sizes, what was written is read."""
    assert records == read(write_log(records)[0])


@pytest.mark.parametrize("room", range(2 * HEAD))
def test_a_record_may_begin_at_any_distance_from_the_end_of_a_block(room):
    """Padding, and chunks without a body, belong to the format."""
    records = [b"a" * (BLOCK - len(HEADER) - HEAD - room), b"b" * 20]

    assert records == read(write_log(records)[0])


@given(records, st.data())
def test_a_cut_costs_the_records_behind_it_and_no_other(records, data):
    """Every record whose last byte is there is read, the torn one is not."""
    log, ends = write_log(records)
    cut = data.draw(st.integers(0, len(log)))

    assert [record for record, end in zip(records, ends, strict=True) if end <= cut] == read(log[:cut])


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), st.data())
def test_a_damaged_body_costs_its_own_record_and_no_other(records, data):
    """The length of the damaged chunk still leads to the next one."""
    log, ends = write_log(records)
    hit = data.draw(st.integers(0, len(records) - 1))

    damaged = bytearray(log)
    damaged[ends[hit] - 1] ^= 0xFF

    assert records[:hit] + records[hit + 1 :] == read(bytes(damaged))


@given(records, st.data())
def test_damage_never_yields_anything_that_was_not_written(records, data):
    """With any byte changed, what is read is what was written with gaps."""
    log, _ = write_log(records)
    at = data.draw(st.integers(0, len(log) - 1))
    damaged = bytearray(log)
    damaged[at] ^= data.draw(st.integers(1, 255))

    written = iter(records)
    assert all(record in written for record in read(bytes(damaged)))


def test_a_nonsensical_length_costs_the_rest_of_its_block_and_no_more():
    """Nothing says where the next chunk begins, but the place of the next block is fixed."""
    fills_the_block = b"b" * (BLOCK - len(HEADER) - HEAD - 10 - HEAD)
    log, ends = write_log([b"a" * 10, fills_the_block, b"c"])
    damaged = bytearray(log)
    damaged[len(HEADER) + 4 : len(HEADER) + 6] = b"\xff\xff"

    assert BLOCK == ends[1]
    assert [b"c"] == read(bytes(damaged))


def test_the_end_of_a_record_without_its_beginning_is_left_out():
    """The pieces of a record whose first chunk was damaged are not glued to another one."""
    log = HEADER + chunk(2, b"torn") + chunk(2, b"a") + chunk(4, b"b") + chunk(4, b"lost") + chunk(1, b"c")

    assert [b"ab", b"c"] == read(log)


@given(st.binary(max_size=400))
def test_noise_is_no_records(noise):
    """Nothing is believed without its checksum, and nothing raises."""
    assert [] == read(HEADER + noise)
