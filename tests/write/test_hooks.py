"""A function that several need wrapped has one wrapper, and is put back as it was when the last is gone."""

import functools
import itertools
import sys
import threading
import types

import pytest

from otel_wandb_bridge.write.hooks import around, hook_of


def new_kind():
    """A class of its own for each use: hooks are remembered by class and name."""

    class Kind:
        def work(self, value, *, times=1):
            """Say what came."""
            return [("work", value * times)]

    return Kind


@pytest.fixture
def kind():
    return new_kind()


def noted(name):
    """What adds its name in front of what the function says."""

    def wrap(call, *args, **kwargs):
        return [name, *call(*args, **kwargs)]

    return wrap


def calls_of(kind):
    """Who was called, the outermost first, and the function at the end."""
    return [part if isinstance(part, str) else part[0] for part in kind().work(1)]


def other_peoples_wrapper(kind, *, is_polite):
    """Patch `work` as others do, politely (`functools.wraps`) or not; returns what takes it out again."""
    before = kind.work

    def theirs(self, *args, **kwargs):
        return ["theirs", *before(self, *args, **kwargs)]

    kind.work = functools.wraps(before)(theirs) if is_polite else theirs

    def take_out():
        kind.work = before

    return take_out


def test_the_arguments_and_the_result_go_through(kind):
    """Positional and keyword arguments, `self` among them."""
    seen = []

    def wrap(call, *args, **kwargs):
        seen.append((args[1:], kwargs))
        return call(*args, **kwargs)

    take_off = around(kind, "work", wrap)
    assert [("work", 6)] == kind().work(3, times=2)
    assert [((3,), {"times": 2})] == seen
    take_off()


def test_an_error_of_the_function_is_the_callers(kind):
    """It is neither swallowed nor turned into another."""
    take_off = around(kind, "work", noted("ours"))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'value'"):
        kind().work()
    take_off()


def test_all_who_need_a_function_share_one_wrapper(kind):
    """One frame in the way of the caller, not one for each of them."""
    first = around(kind, "work", noted("first"))
    wrapper = kind.work
    second = around(kind, "work", noted("second"))
    assert wrapper is kind.work
    assert ["second", "first", "work"] == calls_of(kind)
    first()
    assert wrapper is kind.work
    assert ["second", "work"] == calls_of(kind)
    second()


def test_the_outermost_is_called_first_whoever_comes_later(kind):
    """What catches calls must see them before those that count them."""
    taken_off = [
        around(kind, "work", noted("first")),
        around(kind, "work", noted("outermost"), outermost=True),
        around(kind, "work", noted("later")),
    ]
    assert ["outermost", "later", "first", "work"] == calls_of(kind)
    taken_off[1]()
    assert ["later", "first", "work"] == calls_of(kind)
    taken_off[0]()
    taken_off[2]()


def test_what_is_needed_twice_is_called_once_until_both_are_done(kind):
    """Two bridges count the same calls."""
    same = noted("same")
    first, second = around(kind, "work", same), around(kind, "work", same)
    assert ["same", "work"] == calls_of(kind)
    first()
    assert ["same", "work"] == calls_of(kind)
    second()
    assert ["work"] == calls_of(kind)


def test_taking_off_what_is_off_already_is_harmless(kind):
    """A shutdown may be called twice."""
    take_off = around(kind, "work", noted("ours"))
    other = around(kind, "work", noted("other"))
    take_off()
    take_off()
    assert ["other", "work"] == calls_of(kind)
    other()


def test_taking_off_twice_leaves_the_need_of_another(kind):
    """Each may take off its own only."""
    same = noted("same")
    first, second = around(kind, "work", same), around(kind, "work", same)
    first()
    first()
    assert ["same", "work"] == calls_of(kind)
    second()
    assert ["work"] == calls_of(kind)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_the_function_is_put_back_bit_for_bit(kind, order):
    """In whatever order those who needed it go."""
    before = dict(vars(kind))
    taken_off = [around(kind, "work", noted(name)) for name in "abc"]
    assert before["work"] is not vars(kind)["work"]
    for number in order:
        taken_off[number]()
    assert before == dict(vars(kind))
    assert before["work"] is vars(kind)["work"]


def test_the_function_of_a_module_is_put_back_too():
    """`wandb.init` is one."""
    module = types.ModuleType("module")
    module.work = original = lambda: ["work"]
    take_off = around(module, "work", noted("ours"))
    assert ["ours", "work"] == module.work()
    take_off()
    assert original is module.work


def test_the_wrapper_looks_like_the_function(kind):
    """Its name, text and signature are what `help` shows."""
    before = kind.work
    take_off = around(kind, "work", noted("ours"))
    assert ("work", "Say what came.") == (kind.work.__name__, kind.work.__doc__)
    assert before is kind.work.__wrapped__
    take_off()


def test_a_method_is_wrapped_where_it_is_defined(kind):
    """A subclass that inherits it gets no copy of its own, which would outlive the hook."""
    child = type("Child", (kind,), {})
    grandchild = type("Grandchild", (child,), {})
    first = around(grandchild, "work", noted("ours"))
    second = around(kind, "work", noted("base"))
    assert "work" not in vars(child)
    assert "work" not in vars(grandchild)
    for each in (kind, child, grandchild):
        assert ["base", "ours", "work"] == calls_of(each)
    first()
    second()
    assert ["work"] == calls_of(grandchild)


def test_a_method_that_a_subclass_overrides_is_wrapped_beside_that_of_its_base(kind):
    """Where the one calls the other, each of the two is called once."""
    child = type("Child", (kind,), {"work": lambda self, value: ["child", *super(child, self).work(value)]})
    base, own = vars(kind)["work"], vars(child)["work"]
    taken_off = [around(kind, "work", noted("of base")), around(child, "work", noted("of child"))]
    assert ["of child", "child", "of base", "work"] == calls_of(child)
    assert ["of base", "work"] == calls_of(kind)
    for take_off in taken_off:
        take_off()
    assert (base, own) == (vars(kind)["work"], vars(child)["work"])


def test_what_was_bound_before_stays_as_it_was(kind):
    """A method that somebody holds is the function itself: this is why W&B's inner ones are wrapped."""
    bound = kind().work
    take_off = around(kind, "work", noted("ours"))
    assert [("work", 1)] == bound(1)
    take_off()


def test_what_was_bound_meanwhile_is_harmless_afterwards(kind):
    """It still calls the function, and nothing of ours."""
    take_off = around(kind, "work", noted("ours"))
    bound = kind().work
    take_off()
    assert [("work", 1)] == bound(1)


@pytest.mark.parametrize("is_polite", [True, False], ids=["wraps", "bare"])
class TestBesideOtherPeoplesWrappers:
    def test_one_below_ours_stays(self, kind, is_polite):
        """It was there first, and is what we put back."""
        take_out = other_peoples_wrapper(kind, is_polite=is_polite)
        theirs = kind.work
        take_off = around(kind, "work", noted("ours"))
        assert ["ours", "theirs", "work"] == calls_of(kind)
        take_off()
        assert theirs is kind.work
        take_out()
        assert ["work"] == calls_of(kind)

    def test_one_above_ours_stays_when_ours_goes(self, kind, is_polite):
        """Ours is left in it, and does nothing."""
        original = kind.work
        take_off = around(kind, "work", noted("ours"))
        take_out = other_peoples_wrapper(kind, is_polite=is_polite)
        theirs = kind.work
        assert ["theirs", "ours", "work"] == calls_of(kind)
        take_off()
        assert theirs is kind.work
        assert ["theirs", "work"] == calls_of(kind)
        take_out()
        assert ["work"] == calls_of(kind)
        around(kind, "work", noted("again"))()
        assert original is kind.work

    def test_ours_is_called_once_when_it_is_needed_again_above_it(self, kind, is_polite):
        """Found below theirs, ours is used again; else it is put in anew, and the old one is dead."""
        first = around(kind, "work", noted("first"))
        take_out = other_peoples_wrapper(kind, is_polite=is_polite)
        second = around(kind, "work", noted("second"))
        called = calls_of(kind)
        assert sorted(["first", "second", "theirs", "work"]) == sorted(called)
        first()
        second()
        assert ["theirs", "work"] == calls_of(kind)
        third = around(kind, "work", noted("third"))
        assert sorted(["third", "theirs", "work"]) == sorted(calls_of(kind))
        third()
        take_out()
        assert ["work"] == calls_of(kind)

    def test_ours_is_put_in_anew_when_it_was_thrown_out(self, kind, is_polite):
        """Somebody puts back what they saw before us: the next need finds out, and none is called twice."""
        original = kind.work
        take_out = other_peoples_wrapper(kind, is_polite=is_polite)
        first = around(kind, "work", noted("first"))
        take_out()
        assert ["work"] == calls_of(kind)
        second = around(kind, "work", noted("second"))
        assert ["second", "first", "work"] == calls_of(kind)
        second()
        first()
        assert original is kind.work

    def test_ours_comes_back_to_life_in_a_wrapper_of_theirs_and_is_still_called_once(self, kind, is_polite):
        """Thrown out, put in anew, and then their wrapper around our old one is set again."""
        first = around(kind, "work", noted("first"))
        take_out = other_peoples_wrapper(kind, is_polite=is_polite)
        theirs_around_ours = kind.work
        take_out()
        kind.work = kind.work.__wrapped__
        second = around(kind, "work", noted("second"))
        kind.work = theirs_around_ours
        third = around(kind, "work", noted("third"))
        called = calls_of(kind)
        assert sorted(["first", "second", "third", "theirs", "work"]) == sorted(called)
        for take_off in (first, second, third):
            take_off()
        assert ["theirs", "work"] == calls_of(kind)

    @pytest.mark.parametrize("order", list(itertools.permutations("opq")), ids="".join)
    def test_every_order_of_coming_and_going_ends_with_the_function_alone(self, is_polite, order):
        """Ours (o) and two of theirs (p, q) come in one order, and go in each of the six."""
        for going in itertools.permutations("opq"):
            kind, end = new_kind(), {}
            for name in order:
                if name == "o":
                    end[name] = around(kind, "work", noted("o"))
                else:
                    end[name] = self.patch_with_switch(kind, name, is_polite=is_polite)
            present = list(order)[::-1]
            assert [*present, "work"] == calls_of(kind)
            for name in going:
                end[name]()
                present.remove(name)
                assert [*present, "work"] == calls_of(kind)

    @staticmethod
    def patch_with_switch(kind, name, *, is_polite):
        """A patch that can be switched off, and stays in place as ours does."""
        before, off = kind.work, threading.Event()

        def theirs(self, *args, **kwargs):
            said = before(self, *args, **kwargs)
            return said if off.is_set() else [name, *said]

        kind.work = functools.wraps(before)(theirs) if is_polite else theirs
        return off.set


def by_closure(before):
    return lambda self, *args: before(self, *args)


def by_default(before):
    return lambda self, *args, before=before: before(self, *args)


def by_partial(before):
    return functools.partialmethod(before)


def by_global(before):
    space = {"before": before}
    exec("def theirs(self, *args): return before(self, *args)", space)
    return space["theirs"]


def by_attribute(before):
    class Theirs:
        def __init__(self):
            self.__wrapped__ = before

        def __get__(self, owner, kind=None):
            return self if owner is None else functools.partial(self.__wrapped__, owner)

        def __call__(self, *args):
            return self.__wrapped__(*args)

    return Theirs()


def in_a_cycle(before):
    @functools.wraps(before)
    def theirs(self, *args):
        return before(self, *args)

    theirs.__wrapped__ = theirs  # type: ignore[attr-defined]
    return theirs


def with_an_empty_cell(before):
    def theirs(self, *args):
        return before(self, *args) if self else never

    if not before:
        never = None
    return theirs


WAYS = [by_closure, by_default, by_partial, by_global, by_attribute, in_a_cycle, with_an_empty_cell]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ours_is_found_in_whatever_holds_it_and_is_not_put_in_again(kind, way):
    """It is not on top then, and who asks for it changes nothing."""
    take_off = around(kind, "work", noted("ours"))
    hook = hook_of(kind, "work")
    assert hook.is_on_top()
    kind.work = way(kind.work)
    present = vars(kind)["work"]
    for _ in range(2):
        assert not hook.is_on_top()
        assert present is vars(kind)["work"]
    assert ["ours", "work"] == calls_of(kind)
    take_off()
    assert ["work"] == calls_of(kind)
    assert present is vars(kind)["work"], "theirs would go, too"


def test_ours_that_was_thrown_out_is_put_in_by_who_asks_for_it(kind):
    """As `wandb.log` is set anew with each run."""
    work = kind.work
    take_off = around(kind, "work", noted("ours"))
    kind.work = work
    assert hook_of(kind, "work").is_on_top()
    assert ["ours", "work"] == calls_of(kind)
    take_off()
    assert not hook_of(kind, "work").is_on_top()
    assert work is kind.work, "nobody needs it"


def test_an_around_that_takes_itself_off_is_not_called_again(kind):
    """From within its own call, too: no lock is held around the function."""
    calls = []

    def once(call, *args, **kwargs):
        calls.append(1)
        take_off()
        return call(*args, **kwargs)

    original = kind.work
    take_off = around(kind, "work", once)
    assert ["work"] == calls_of(kind)
    assert ["work"] == calls_of(kind)
    assert [1] == calls
    assert original is kind.work


def test_a_call_under_way_ends_with_those_it_began_with(kind):
    """One that is added meanwhile sees the next call; one that is taken off meanwhile still sees this one."""
    entered, may_go_on, said = threading.Event(), threading.Event(), []

    def wait(call, *args, **kwargs):
        entered.set()
        assert may_go_on.wait(10)
        return ["wait", *call(*args, **kwargs)]

    inner = around(kind, "work", noted("inner"))
    outer = around(kind, "work", wait, outermost=True)
    calling = threading.Thread(target=lambda: said.append(calls_of(kind)))
    calling.start()
    assert entered.wait(10)
    inner()
    late = around(kind, "work", noted("late"))
    may_go_on.set()
    calling.join()
    assert [["wait", "inner", "work"]] == said
    assert ["wait", "late", "work"] == calls_of(kind)
    outer()
    late()


@pytest.fixture
def eager_threads():
    """Threads take turns every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_may_add_and_take_off_while_others_call(kind, eager_threads):
    """The one that stays is called once in each call, and so is the function, the original in the end."""
    original, wrong, stop = kind.work, [], threading.Event()
    stays = around(kind, "work", noted("stays"), outermost=True)

    def call():
        while not stop.is_set():
            called = calls_of(kind)
            if called[0] != "stays" or called.count("stays") != 1 or called.count("work") != 1:
                wrong.append(called)
            if any(called.count(name) > 1 for name in "abcd"):
                wrong.append(called)

    def come_and_go(name):
        for _ in range(2000):
            take_off = around(kind, "work", noted(name))
            if name not in calls_of(kind):
                wrong.append(f"{name} was not called")
            take_off()

    callers = [threading.Thread(target=call) for _ in range(2)]
    others = [threading.Thread(target=come_and_go, args=name) for name in "abcd"]
    for thread in callers + others:
        thread.start()
    for thread in others:
        thread.join()
    stop.set()
    for thread in callers:
        thread.join()
    assert [] == wrong
    stays()
    assert original is kind.work


def test_the_wrapper_may_come_and_go_while_others_call(kind, eager_threads):
    """Nobody stays, so it is put in and put back all the time; each call reaches the function once."""
    original, wrong, stop = kind.work, [], threading.Event()

    def call():
        while not stop.is_set():
            called = calls_of(kind)
            if called not in (["work"], ["ours", "work"]):
                wrong.append(called)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for thread in callers:
        thread.start()
    for _ in range(5000):
        around(kind, "work", noted("ours"))()
    stop.set()
    for thread in callers:
        thread.join()
    assert [] == wrong
    assert original is kind.work


def test_threads_may_share_one_need(kind, eager_threads):
    """Each is called as long as one of them needs it; when all are done, nothing is left."""
    original, same, wrong = kind.work, noted("same"), []

    def come_and_go():
        for _ in range(3000):
            take_off = around(kind, "work", same)
            if calls_of(kind) != ["same", "work"]:
                wrong.append("not called")
            take_off()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong
    assert original is kind.work
