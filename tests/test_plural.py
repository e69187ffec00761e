"""Counts in words: one is one."""

import re
from pathlib import Path

import pytest

import otel_wandb_bridge
from otel_wandb_bridge.plural import count_of

ROOT = Path(otel_wandb_bridge.__file__).parent
NOUNS = (
    "samples|rows|steps|values|calls|times|flushes|sources|keys|points|requests|instruments|scalars|reasons"
)
AS_IT_STANDS = re.compile(rf"(\{{[^{{}}]*\}}|%d) (more )?({NOUNS})\b")
BOUNDS = "more than"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 rows were late"),
        (1, "1 row was late"),
        (2, "2 rows were late"),
        (1_000, "1,000 rows were late"),
    ],
)
def test_one_is_one(count, words):
    """And all else is many."""
    assert words == count_of(count, "row was late", "rows were late")


def test_many_have_an_s():
    """Where nothing else is said."""
    assert ["1 row", "2 rows"] == [count_of(1, "row"), count_of(2, "row")]


def test_every_count_in_a_message_is_said_that_way():
    """But for bounds, which are given by the user, and are many."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in ROOT.rglob("*.py")
        if "_grpo" not in path.name
        for line in path.read_text().splitlines()
        if AS_IT_STANDS.search(line) and BOUNDS not in line
    ]
    assert [] == found
