"""What a receiver hands in while a flush gathers is committed by that flush."""

from types import SimpleNamespace

from otel_wandb_bridge.flush.entrances import Entrances


def test_one_flush_does_not_end_the_gathering_of_another():
    """The flusher's and one that somebody has asked for may come at the same time."""
    pipeline = SimpleNamespace(is_gathering=False)
    entrances = Entrances(pipeline, None, None, None)
    with entrances.gathering():
        with entrances.gathering():
            assert pipeline.is_gathering
        assert pipeline.is_gathering
    assert not pipeline.is_gathering
