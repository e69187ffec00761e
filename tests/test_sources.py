"""Who reports: a component of a process, as an OpenTelemetry resource describes it."""

import pytest

from otel_wandb_bridge.attributes import default_priority
from otel_wandb_bridge.sources import Process, contributor_of, is_among, name_of, process_of

RESOURCE = {
    "service.name": "train",
    "service.instance.id": "627cc493",
    "training.rank": 3,
    "training.world_size": 8,
}


def test_a_resource_says_who_the_process_is():
    """By the attributes of the semantic conventions, and ours for torchrun's variables."""
    assert Process("train", "627cc493", 3, 8) == process_of(RESOURCE)
    assert Process("team/train") == process_of({"service.namespace": "team", "service.name": "train"})
    assert Process() == process_of({})


def test_host_and_pid_stand_for_an_instance_that_does_not_say_its_id():
    """SDKs of other languages need not make one up."""
    assert "node-1:4711" == process_of({"host.name": "node-1", "process.pid": 4711}).instance


@pytest.mark.parametrize("rank", [-1, "x", 1.5, True, None, "", "9" * 30])
def test_a_rank_that_cannot_be_used_is_none(rank):
    """What other people send is never an error here."""
    assert process_of({"training.rank": rank}).rank is None
    assert 3 == process_of({"training.rank": " 3 "}).rank


def test_a_source_reads_as_text_and_knows_its_process():
    """Service, rank, instance and component: unique, and good to read."""
    source = process_of(RESOURCE).source("trainer")
    assert source == "train/rank_3/627cc493/trainer"
    assert "trainer" == name_of(source) == source.name
    assert Process("rollout", "ab").source("server") == "rollout/ab/server"
    assert Process().source("trainer") == "trainer"


def test_a_restarted_rank_is_another_source_and_the_same_contributor():
    """Its values take the place of those of its former self."""
    one, other = (Process("train", instance, 3).source("trainer") for instance in ("a", "b"))
    assert one != other
    assert contributor_of(one) == contributor_of(other)
    assert contributor_of(one) != contributor_of(Process("rollout", "a", 3).source("trainer"))
    assert contributor_of("trainer") is None


def test_options_name_sources_by_component_or_in_full():
    """`priorities={"trainer": 0}` means the trainers of all ranks."""
    source = process_of(RESOURCE).source("trainer")
    assert is_among(source, {"trainer"})
    assert is_among(source, {"train/rank_3/627cc493/trainer"})
    assert not is_among(source, {"rank_3"})
    assert 0 == default_priority(source, {"trainer": 0})
    assert 1 == default_priority(source, {"trainer": 0, str(source): 1})
    assert 5 == default_priority(source, {})
