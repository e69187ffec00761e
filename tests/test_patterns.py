"""A choice for each key, by name and by pattern."""

from otel_wandb_bridge.patterns import ByKey


def test_a_name_goes_before_patterns_and_a_long_pattern_before_a_short_one():
    """The nearest choice holds, whatever the order in which they were given."""
    chosen = ByKey("all", {"*": "any", "train/*": "train", "train/loss": "loss", "train/[ab]": "letters"})
    keys = ("train/loss", "train/lr", "train/a", "eval")
    assert ["loss", "train", "letters", "any"] == [chosen.of(key) for key in keys]


def test_without_a_match_the_default_holds():
    """With no pattern at all, too."""
    assert 1 == ByKey(1).of("loss")
    assert 1 == ByKey(1, {"eval/*": 2}).of("loss")


def test_equal_choices_are_equal():
    """Options are compared in tests, and may be kept in sets."""
    assert ByKey(1, {"a": 2}) == ByKey(1, {"a": 2})
    assert hash(ByKey(1, {"a": 2})) == hash(ByKey(1, {"a": 2}))
    assert ByKey(1) != ByKey(2)
    assert "ByKey(1, {'a': 2})" == repr(ByKey(1, {"a": 2}))
