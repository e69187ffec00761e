"""Names of sources, cut to what people can read: laws for any names."""

from hypothesis import given
from hypothesis import strategies as st

from otel_wandb_bridge.cli.short_names import short_names

ONE = "6f1c0e3a-9d5f-4c61-8a51-0242ac120002"
TWIN = "6f1c0e3a-9d5f-4c61-8a51-0242ac120003"
OTHER = "b2c41d90-0d77-4f8e-9a3b-0242ac120002"


def test_an_instance_that_is_a_uuid_is_cut_to_its_first_digits():
    """As in `git log`; with or without dashes, and in all of its sources alike."""
    assert {
        f"train/rank_0/{ONE}/reward": "train/rank_0/6f1c0e3a…/reward",
        f"train/rank_1/{OTHER}/reward": "train/rank_1/b2c41d90…/reward",
        OTHER.replace("-", ""): "b2c41d90…",
    } == short_names([f"train/rank_0/{ONE}/reward", f"train/rank_1/{OTHER}/reward", OTHER.replace("-", "")])


def test_names_that_would_look_alike_keep_what_tells_them_apart():
    """Uuids may begin with the time (version 7). What no cut tells apart stays whole."""
    short = short_names([f"a/{ONE}", f"a/{TWIN}", f"a/{OTHER}"])
    assert "a/b2c41d90…" == short[f"a/{OTHER}"]
    assert ("a/6f1c0e3a…ac120002", "a/6f1c0e3a…ac120003") == (short[f"a/{ONE}"], short[f"a/{TWIN}"])
    alike = ["b" * 30, "b" * 31]
    assert dict(zip(alike, alike, strict=True)) == short_names(alike)


def test_another_long_part_is_cut_in_the_middle():
    """The beginning and the end of a host say most."""
    host = "ip-10-20-30-40.eu-west-1.compute.internal:12345"
    assert {f"train/{host}": "train/ip-10-20…al:12345"} == short_names([f"train/{host}"])


def test_short_names_stay_as_they_are():
    """Nobody has to look twice."""
    names = ["trainer", "train/rank_0/a/reward", "otel_wandb_bridge.log"]
    assert dict(zip(names, names, strict=True)) == short_names(names)


PARTS = st.sampled_from([ONE, TWIN, OTHER, "a", "b" * 30, "b" * 31])


@given(st.sets(st.lists(PARTS, min_size=1).map("/".join)))
def test_different_names_stay_different(names):
    """Whatever is cut."""
    assert len(names) == len(set(short_names(names).values()))
