"""From series to keys: readable, stable, and never the same for two."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wandb_bridge.decode.naming import Keys, UnusableKey, default_naming
from otel_wandb_bridge.ledger import Ledger


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def keys(ledger):
    return Keys(default_naming, ledger)


@pytest.mark.parametrize(
    ("name", "attributes", "key"),
    [
        ("loss", {}, "loss"),
        ("train/loss", {}, "train/loss"),
        ("http.server.duration", {}, "http/server/duration"),
        ("loss", {"rank": 3}, "loss/rank_3"),
        ("loss", {"split": "val", "rank": 3}, "loss/rank_3/split_val"),
        ("loss", {"net.host": "10.0.0.1"}, "loss/net_host_10_0_0_1"),
        ("loss", {"lr": 0.5}, "loss/lr_0_5"),
        ("loss", {"warm": True}, "loss/warm_True"),
    ],
)
def test_a_key_is_the_name_and_the_sorted_attributes(name, attributes, key):
    """Slashes group panels in W&B; a dot in a key would be taken for nesting."""
    assert key == default_naming(name, attributes)


def test_the_order_of_attributes_is_none_of_the_key(keys):
    """Two call sites may write them in another order."""
    assert keys.key("loss", {"a": 1, "b": 2}) == keys.key("loss", {"b": 2, "a": 1})


def test_one_series_keeps_its_key(keys):
    """Whichever scope it comes from: there, priority decides."""
    assert "loss/rank_3" == keys.key("loss", {"rank": 3}) == keys.key("loss", {"rank": 3})


def test_two_series_never_share_a_key_by_accident(keys, caplog):
    """The later gets a suffix, the same one ever after, and it is said once."""
    assert "a/b" == keys.key("a.b", {})
    apart = keys.key("a/b", {})
    assert apart.startswith("a/b~")
    assert apart == keys.key("a/b", {})
    assert "a/b" == keys.key("a.b", {})
    assert 1 == len(caplog.messages)
    assert apart in caplog.text
    assert apart != keys.key(apart, {})


def test_an_attribute_is_told_from_a_part_of_the_name(keys):
    """`loss` of rank 3 is not the metric that is called `loss/rank_3`."""
    assert 2 == len({keys.key("loss", {"rank": 3}), keys.key("loss/rank_3", {})})


def test_the_parts_of_a_histogram_are_told_from_metrics_of_their_own(keys):
    """A histogram `latency` without our reservoir has a `latency/count`, and so may the user."""
    assert "latency/count" == keys.key("latency", {}, "/count")
    assert "latency/count" != keys.key("latency.count", {})
    assert "latency/count" == keys.key("latency", {}, "/count")


@pytest.mark.parametrize("order", [(1, True, 1.0), (1.0, True, 1), (True, 1, 1.0)])
def test_equal_values_of_other_types_have_keys_of_their_own(keys, order):
    """1, 1.0 and True are equal to Python; the keys must not hang on which comes first."""
    for value in order:
        assert default_naming("loss", {"a": value}) == keys.key("loss", {"a": value})


@pytest.mark.parametrize("value", [[1, 2], {"b": 1}, (1, 2), ([1],), None, b"x", {"b": [1]}])
def test_any_attribute_can_be_a_part_of_a_key(keys, value):
    """Also those that cannot be hashed."""
    assert default_naming("loss", {"a": value}) == keys.key("loss", {"a": value})
    assert keys.key("loss", {"a": value}) == keys.key("loss", {"a": value})


attributes = st.dictionaries(
    st.sampled_from(["a", "b", "a_1", "b.c", "b_c"]),
    st.sampled_from([1, 1.0, True, "1", "a", "1/b_1", 0.5, "0_5", "0.5", (1, 2), "(1, 2)", [1]]),
    max_size=3,
)
series = st.tuples(st.sampled_from(["a", "a/b", "a.b", "a/a_1", "b_c"]), attributes)


@settings(deadline=None)
@given(st.lists(series, max_size=20), st.booleans())
def test_as_many_keys_as_series_whatever_they_are_called(all_series, all_the_same):
    """Even with a naming that knows one key only."""
    keys = Keys((lambda name, attributes: "key") if all_the_same else default_naming, Ledger())
    given = {(name, repr(sorted(attributes.items()))) for name, attributes in all_series}
    first = [keys.key(name, attributes) for name, attributes in all_series]
    assert len(given) == len(set(first))
    assert first == [keys.key(name, attributes) for name, attributes in all_series]


def test_a_naming_of_the_user_s_own_decides(ledger):
    """It is asked once for each series."""
    asked = []

    def naming(name, attributes):
        asked.append((name, dict(attributes)))
        return f"mine/{name}"

    keys = Keys(naming, ledger)
    assert ["mine/loss"] * 3 == [keys.key("loss", {"rank": 0}) for _ in range(3)]
    assert [("loss", {"rank": 0})] == asked


@pytest.mark.parametrize("answer", [None, "", 5, b"loss"])
def test_a_naming_that_returns_no_key_is_told_what_is_expected(ledger, answer):
    """With what came, and for which metric."""
    keys = Keys(lambda name, attributes: answer, ledger)
    with pytest.raises(UnusableKey, match="naming must return a non-empty string for 'loss'; got"):
        keys.key("loss", {})


@pytest.mark.parametrize(
    ("attribute", "meant"),
    [
        ("Step", "step"),
        ("STEP", "step"),
        ("global_step", "step"),
        ("Source", "source"),
        ("prioriTy", "priority"),
    ],
)
def test_an_attribute_that_was_meant_to_be_another_is_said_once(keys, caplog, attribute, meant):
    """Else there is one key for each step, and nobody knows why."""
    assert ["loss/rank_0"] == [keys.key("loss", {"rank": 0})]
    assert [] == caplog.messages
    for value in range(3):
        keys.key("loss", {attribute: value})
    (text,) = caplog.messages
    assert f"attribute {attribute!r}" in text
    assert f"did you mean {meant!r}?" in text
