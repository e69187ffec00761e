"""Every way into a run, caught; and W&B as it was, once that is over. Real offline runs."""

import textwrap

import pytest

WAYS = (
    "wandb.log",
    "run.log",
    "wandb.run.log",
    "from wandb import log, after init",
    "wandb.log, before the patch",
    "run.log, before the patch",
    "Run.log, before the patch",
    "Run.log, before init",
    "Run.log, after the patch",
    "partial",
)
FORMS = ("positional step", "keyword step", "keyword data", "data and commit", "all positional")


@pytest.fixture(scope="module")
def ways(run_program):
    """Each way, in each form, at steps that go down: W&B alone would drop all but the first."""
    program = f"""
    import functools

    function_before_init = Run.log
    run = init("ways")
    bound_before, log_before, function_before = run.log, wandb.log, Run.log
    patch_wandb_log(flush_interval=NEVER)
    from wandb import log as imported

    ways = [
        wandb.log, run.log, wandb.run.log, imported, log_before, bound_before,
        functools.partial(function_before, run), functools.partial(function_before_init, run),
        functools.partial(Run.log, run), functools.partial(run.log),
    ]
    step = 1000
    returned = []
    for name, way in zip({WAYS!r}, ways, strict=True):
        for form in {FORMS!r}:
            values = {{f"{{name}}/{{form}}": step}}
            if form == "positional step":
                returned.append(way(values, step))
            elif form == "keyword step":
                returned.append(way(values, step=step))
            elif form == "keyword data":
                returned.append(way(data=values, step=step))
            elif form == "data and commit":
                returned.append(way(step=step, commit=True, data=values))
            else:
                returned.append(way(values, step, False))
            step -= 1
        returned.append(way({{f"{{name}}/held": 1}}, commit=False))
        returned.append(way({{f"{{name}}/stepless": 2}}))
    report(returned=[repr(each) for each in returned], stats=get_step_manager().get_stats())
    run.finish()
    """
    return run_program(program).ended_well()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_into_a_run_is_caught(ways, way, form):
    """Each value is in a row of its step, though W&B had rows of higher steps."""
    (row,) = (row for row in ways.runs["ways"].rows if f"{way}/{form}" in row)
    assert row["global_step"] == row[f"{way}/{form}"]


@pytest.mark.parametrize("way", WAYS)
def test_commit_false_means_what_it_means_in_wandb(ways, way):
    """Its values are in the row of the next call without a step."""
    (row,) = (row for row in ways.runs["ways"].rows if f"{way}/held" in row)
    assert 2 == row[f"{way}/stepless"]


def test_a_caught_call_returns_none(ways):
    """As `wandb.log` does."""
    assert {"None"} == set(ways.facts["returned"])


def test_no_call_goes_past_the_bridge(ways):
    """All were taken, and all that were taken were calls."""
    assert len(WAYS) * (len(FORMS) + 2) == ways.facts["stats"]["total_logs"]
    assert 0 == ways.facts["stats"]["foreign_steps"]


@pytest.fixture(scope="module")
def lives(run_program):
    """Patched before init; runs one after the other, at once, disabled."""
    program = """
    kind = Run
    patch_wandb_log(flush_interval=NEVER)
    for name in ("first", "second"):
        run = init(name)
        for step in (3, 1, 2):
            wandb.log({f"{name}/a": step}, step=step)
        saved = wandb.log
        run.finish()
        try:
            saved({"late": 1})
            refused = None
        except Exception as error:
            refused = type(error).__name__
        report(**{name: refused})

    at_once = tuple(map(int, wandb.__version__.split(".")[:2])) >= (0, 20)
    report(at_once=at_once)
    one = init("one", **({"reinit": "create_new"} if at_once else {}))
    two = init("two", reinit="create_new") if at_once else one

    def log_backwards(run, factor):
        for step in (5, 4, 3, 2, 1):
            run.log({"a": step * factor}, step=step)

    threads = [threading.Thread(target=log_backwards, args=each) for each in ((one, 1), (two, 10))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    one.finish()
    if at_once:
        two.log({"b": 7}, step=0)
        two.finish()

    with init("again") as run:
        report(instance=isinstance(run, kind) and wandb_run.Run is kind)
        run.log({"a": 2}, step=2)
        unpatch_wandb_log()
        run.log({"a": 9}, step=9)
        run.log({"a": 1}, step=1)  # W&B drops it
        patch_wandb_log()
        patch_wandb_log()
        run.log({"a": 3}, step=3)
        unpatch_wandb_log()
        run.log({"a": 12}, step=12)
        unpatch_wandb_log()

    patch_wandb_log(flush_interval=NEVER)
    with init("not finished"):
        wandb.log({"a": 2}, step=2)
        wandb.log({"a": 1}, step=1)
    run = init("left open")
    wandb.log({"a": 2}, step=2)
    wandb.log({"a": 1}, step=1)
    """
    return run_program(program).ended_well()


def test_a_disabled_run_takes_everything(run_program):
    """And keeps nothing, as ever. (A process of its own: in wandb 0.18, all later runs are disabled too.)"""
    program = """
    patch_wandb_log()
    with wandb.init(project="drop-in", mode="disabled") as nothing:
        nothing.log({"a": 1}, step=5)
        wandb.log({"a": 1}, step=4)
        report(disabled=isinstance(nothing, wandb_run.Run))
    """
    ended = run_program(program)
    assert (0, True, {}) == (ended.code, ended.facts["disabled"], ended.runs)


@pytest.mark.parametrize("name", ["first", "second"])
def test_patched_before_init_each_run_has_its_rows(lives, name):
    """One run after the other in one process."""
    assert {1: 1, 2: 2, 3: 3} == lives.runs[name].by_step(f"{name}/a")


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_bound_method_of_a_finished_run_is_refused_by_wandb(lives, name):
    """Its own error, and no row in the run that came after it."""
    assert "UsageError" == lives.facts[name]
    assert not any("late" in row for run in lives.runs.values() for row in run.rows)


def test_runs_at_once_do_not_mix(lives):
    """Each has its own route, and the finish of one leaves the other alone."""
    if not lives.facts["at_once"]:
        pytest.skip("this W&B has one run at a time")
    assert {step: step for step in range(1, 6)} == lives.runs["one"].by_step("a")
    assert {step: 10 * step for step in range(1, 6)} == lives.runs["two"].by_step("a")
    assert {0: 7} == lives.runs["two"].by_step("b")


def test_a_run_is_a_run(lives):
    """Lightning checks `isinstance`; the class is the same object."""
    assert lives.facts["instance"]


def test_patching_and_unpatching_in_the_middle_loses_nothing_of_ours(lives):
    """Calls before, between and after; only what W&B alone was given and drops is missing."""
    assert [2, 9, 3, 12] == lives.runs["again"].values("a")
    assert [2, None, 3, None] == [row.get("global_step") for row in lives.runs["again"].rows if "a" in row]


@pytest.mark.parametrize("name", ["not finished", "left open"])
def test_nobody_needs_to_flush(lives, name):
    """The end of the block, or of the program, is enough."""
    assert {1: 1, 2: 2} == lives.runs[name].by_step("a")


# What W&B refuses

BAD_CALLS = """
import inspect

import numpy as np

BAD = {
    "a list": lambda log: log([1]),
    "nothing": lambda log: log(),
    "None": lambda log: log(None),
    "a text": lambda log: log("loss", step=3),
    "a key that is no text": lambda log: log({5: 1}),
    "a key that is no text, with a step": lambda log: log({"a": 1, None: 1}, step=3),
    "a float for a step": lambda log: log({"a": 1}, step=1.5),
    "a whole float for a step": lambda log: log({"a": 1}, step=2.0),
    "a text for a step": lambda log: log({"a": 1}, step="3"),
    "a bool for a step": lambda log: log({"a": 1}, step=True),
    "a huge step": lambda log: log({"a": 1}, step=2**70),
    "a list for a step": lambda log: log({"a": 1}, step=[1]),
    "too many arguments": lambda log: log({"a": 1}, 1, None, None, None, None, None),
    "an unknown argument": lambda log: log({"a": 1}, stepp=1),
    "data twice": lambda log: log({"a": 1}, data={"a": 1}),
    "a lone surrogate for a key": lambda log: log({"\\ud800": 1}),
    "a lone surrogate, with a step": lambda log: log({"a": 1, "b\\udfff": 1}, step=3),
    "a text for commit": lambda log: log({"a": 1}, commit="yes"),
    "an empty text for commit": lambda log: log({"a": 1}, commit=""),
    "an empty text for commit, with a step": lambda log: log({"a": 1}, step=3, commit=""),
    "a float for commit": lambda log: log({"a": 1}, commit=1.0),
    "an object for commit": lambda log: log({"a": 1}, commit=()),
    "a number for commit": lambda log: log({"a": 1}, commit=1),
    "a numpy bool for commit": lambda log: log({"a": 1}, commit=np.bool_(True)),
    "an object": lambda log: log({"a": object()}),
    "an object, with a step": lambda log: log({"a": object(), "b": 1}, step=4),
    "a nested object": lambda log: log({"a": {"b": object()}}),
    "an object in a list": lambda log: log({"a": [object()]}),
    "a set": lambda log: log({"a": {1, 2}}),
    "a complex number": lambda log: log({"a": 1j}),
    "an image that is none": lambda log: log({"a": wandb.Image("no such file.png")}),
    "a custom mapping": lambda log: log(__import__("types").MappingProxyType({"mapped": 1})),
}


def contexts_of(error):
    # What a traceback shows above it.
    found = []
    while error.__context__ is not None:
        error = error.__context__
        found.append(type(error).__qualname__)
    return found


def outcome(call, log):
    try:
        return ["returned", repr(call(log)), 0, []]
    except BaseException as error:
        trace = error.__traceback__
        frames = []
        while trace is not None:
            frames.append((trace.tb_frame.f_code.co_filename.rpartition("/")[2], trace.tb_lineno))
            trace = trace.tb_next
        line = call.__code__.co_firstlineno
        where = [l for f, l in frames if f == "program.py"][-1] - line
        return [type(error).__qualname__, str(error), where, contexts_of(error)]
"""

TRY_ALL = """
before_init = outcome(lambda log: log({"a": 1}), wandb.log)
run = init("refusing")
run.log({"first": 0}, step=0)  # from now on there is a short way
outcomes = {name: outcome(call, run.log) for name, call in BAD.items()}
module = {name: outcome(call, wandb.log) for name, call in BAD.items()}
run.log({"a": 1}, step=50)
run.finish()
outcomes["a finished run"] = outcome(lambda log: log({"a": 1}), run.log)
outcomes["a finished run and a list"] = outcome(lambda log: log([1]), run.log)
outcomes["before init"] = before_init
outcomes["after finish"] = outcome(lambda log: log({"a": 1}), wandb.log)
report(
    outcomes=outcomes,
    module=module,
    signature=[str(inspect.signature(each)) for each in (Run.log, run.log)],
    names=[Run.log.__name__, Run.log.__qualname__, Run.log.__module__],
    doc=Run.log.__doc__,
)
"""


@pytest.fixture(scope="module")
def refusals(run_program):
    """The same bad calls, by W&B alone and patched."""
    native = run_program(_flat(BAD_CALLS, TRY_ALL)).ended_well()
    patched = run_program(_flat(BAD_CALLS, "patch_wandb_log()", TRY_ALL))
    assert patched.code == 0  # and it may say that W&B has taken, by itself, what is bad in later versions
    return native, patched


def _flat(*parts):
    return "\n" + "\n".join(parts)


@pytest.mark.parametrize(
    "call",
    [
        "a list",
        "nothing",
        "None",
        "a text",
        "a key that is no text",
        "a key that is no text, with a step",
        "a float for a step",
        "a whole float for a step",
        "a text for a step",
        "a bool for a step",
        "a huge step",
        "a list for a step",
        "a lone surrogate for a key",
        "a lone surrogate, with a step",
        "a text for commit",
        "an empty text for commit",
        "an empty text for commit, with a step",
        "a float for commit",
        "an object for commit",
        "a number for commit",
        "a numpy bool for commit",
        "too many arguments",
        "an unknown argument",
        "data twice",
        "an object",
        "an object, with a step",
        "a nested object",
        "an object in a list",
        "a set",
        "a complex number",
        "an image that is none",
        "a custom mapping",
        "a finished run",
        "a finished run and a list",
        "before init",
        "after finish",
    ],
)
def test_a_bad_call_gets_the_error_of_wandb(refusals, call):
    """Of the same type and text, raised in the line that makes the call."""
    native, patched = (each.facts["outcomes"][call] for each in refusals)
    assert native == patched
    native, patched = (each.facts["module"].get(call) for each in refusals)
    assert native == patched


def test_the_signature_is_that_of_wandb(refusals):
    """What editors and `inspect` show."""
    native, patched = refusals
    for fact in ("signature", "names", "doc"):
        assert native.facts[fact] == patched.facts[fact]
    assert "Upload run data" in patched.facts["doc"]


# Unpatched, everything is as before


@pytest.fixture(scope="module")
def restored(run_program):
    """What has another identity than before, after patching and unpatching."""
    program = """
    from wandb.sdk import wandb_init

    PLACES = {
        "wandb": wandb, "Run": Run, "wandb_run": wandb_run, "wandb_init": wandb_init,
        "finish": sys.modules["wandb.sdk.lib.preinit"],
    }

    def snapshot():
        return {f"{place}.{name}": value for place, of in PLACES.items() for name, value in vars(of).items()}

    def changes(before):
        after = snapshot()
        return sorted(
            name for name in before.keys() | after.keys()
            if name not in before or name not in after or before[name] is not after[name]
        )

    before = snapshot()
    patch_wandb_log()
    patched = changes(before)
    unpatch_wandb_log()
    report(without_a_run=changes(before), patched=patched)

    run = init("restored")
    held = dict(vars(run))
    before = snapshot()
    patch_wandb_log(flush_interval=NEVER)
    run.log({"a": 1}, step=3)
    run.log({"a": 1}, step=2)
    update_training_step(5)
    safe_wandb_log({"b": 1})
    unpatch_wandb_log()
    report(within_a_run=changes(before))
    before = snapshot()
    for _ in range(50):
        patch_wandb_log()
        wandb.log({"c": 1})
        patch_wandb_log()
        unpatch_wandb_log()
        unpatch_wandb_log()
    report(many_times=changes(before))
    patch_wandb_log()
    run.log({"a": 1}, step=70)
    run.finish()
    unpatch_wandb_log()
    report(own_after=sorted(set(vars(run)) - set(held)))

    patch_wandb_log()
    run = init("inside")
    wandb.log({"a": 1}, step=3)
    unpatch_wandb_log()
    report(
        bound=[wandb.log.__func__ is vars(Run)["log"], wandb.log.__self__ is run],
        run_log=Run.log is before["Run.log"],
        code=wandb.log.__code__.co_filename.rpartition("/")[2],
    )
    run.finish()
    before.pop("wandb.log"), before.pop("wandb.run")
    now = snapshot()
    report(
        after_all=sorted(
            name for name in before
            if before[name] is not now[name] and name.startswith(("Run.", "wandb_run.", "wandb_init."))
        )
    )
    """
    return run_program(program).ended_well()


def test_unpatched_wandb_is_as_it_was(restored):
    """Every attribute is the very object that it was."""
    assert "Run._log" in restored.facts["patched"]
    assert [] == restored.facts["without_a_run"]


def test_unpatched_within_a_run_wandb_is_as_it_was(restored):
    """Also `wandb.log`, which is bound to the run that is active."""
    assert [] == restored.facts["within_a_run"]


def test_patching_many_times_leaves_nothing_behind(restored):
    """No wrapper stays, however often."""
    assert [] == restored.facts["many_times"]


def test_a_run_made_while_patched_is_bound_to_what_wandb_has_then(restored):
    """`wandb.log` was bound at init, when `Run.log` was ours."""
    assert [True, True] == restored.facts["bound"]
    assert "wandb_run.py" == restored.facts["code"]


def test_runs_that_come_and_go_leave_nothing_behind(restored):
    """After patching, runs, finishes and unpatching, all classes and modules are as they were."""
    assert [] == restored.facts["after_all"]


def test_a_run_gets_no_attributes_of_ours(restored):
    """Nothing is hung onto the run itself."""
    assert [] == [name for name in restored.facts["own_after"] if "bridge" in name or "route" in name]


# Other people's patches

PLACES = ("wandb.log", "Run.log", "Run._log")
ORDERS = [
    (place, first, off) for place in PLACES for first in ("theirs", "ours") for off in ("theirs", "ours")
]


@pytest.fixture(scope="module")
def nested(run_program):
    """In each order: theirs and ours are put on, then taken off, and each time something is logged."""
    program = f"""
    def put_on(place, seen):
        owner, name = (wandb, "log") if place == "wandb.log" else (Run, place.partition(".")[2])
        original = getattr(owner, name)

        def theirs(*args, **kwargs):
            seen.extend(kwargs["data"] if "data" in kwargs else next(a for a in args if isinstance(a, dict)))
            return original(*args, **kwargs)

        setattr(owner, name, theirs)
        return lambda: setattr(owner, name, original)

    def log(values, step=None):
        # `wandb.log` was bound at init: a patch of the class is not on its way, with or without ours.
        (wandb if place == "wandb.log" else run).log(values, step=step)

    for number, (place, first, off) in enumerate({ORDERS!r}):
        run = init(f"nested{{number}}")
        seen = []
        take_off = put_on(place, seen) if first == "theirs" else None
        patch_wandb_log(flush_interval=NEVER)
        take_off = take_off or put_on(place, seen)
        log({{"both/b": 8}}, step=8)
        log({{"both/a": 7}}, step=7)
        log({{"both/free": 1}})
        at_once = list(seen)
        finalize_wandb_logging()
        report(**{{f"seen{{number}}": list(seen), f"at_once{{number}}": at_once}})
        if off == "theirs":
            take_off()
            del seen[:]
            log({{"one/b": 6}}, step=6)
            log({{"one/a": 5}}, step=5)
            unpatch_wandb_log()
            report(**{{f"one{{number}}": list(seen)}})
        else:
            unpatch_wandb_log()
            del seen[:]
            log({{"one/b": 30}}, step=30)
            log({{"one/a": 31}}, step=31)
            report(**{{f"one{{number}}": list(seen)}})
            take_off()
        log({{"none/b": 40}}, step=40)
        log({{"none/a": 41}}, step=41)
        run.finish()
    """
    return run_program(program, timeout=120).ended_well()


@pytest.mark.parametrize("number", range(len(ORDERS)), ids=map("-".join, ORDERS))
def test_nothing_is_lost_whatever_the_order_of_patches(nested, number):
    """Each value once, at its step: with both patches on, with one of them, with none."""
    run = nested.runs[f"nested{number}"]
    _, _, off = ORDERS[number]
    assert {8: 8} == run.by_step("both/b")
    assert {7: 7} == run.by_step("both/a")
    assert [1] == run.values("both/free")
    with_one = {"one/b": [6], "one/a": [5]} if off == "theirs" else {"one/b": [30], "one/a": [31]}
    assert with_one == {key: run.values(key) for key in with_one}
    assert {"none/b": [40], "none/a": [41]} == {key: run.values(key) for key in ("none/a", "none/b")}
    if off == "theirs":
        assert {6: 6} == run.by_step("one/b")
        assert {5: 5} == run.by_step("one/a")


@pytest.mark.parametrize("number", range(len(ORDERS)), ids=map("-".join, ORDERS))
def test_other_peoples_patches_see_every_call(nested, number):
    """At once where theirs is on the public name, or on top of ours; in the rows that are written else."""
    place, first, off = ORDERS[number]
    every = {"both/a", "both/b", "both/free"}
    if place != "Run._log" or first == "ours":
        assert every == set(nested.facts[f"at_once{number}"])
    assert every <= set(nested.facts[f"seen{number}"])
    expected = set() if off == "theirs" else {"one/a", "one/b"}
    assert expected == set(nested.facts[f"one{number}"])


# Threads


def test_threads_may_patch_and_unpatch_while_others_log(run_program):
    """Nothing is lost, nothing is written twice, nobody gets an exception."""
    program = """
    run = init("busy")
    errors = []
    sys.setswitchinterval(1e-5)

    def log(thread):
        try:
            for number in range(150):
                (wandb.log if number % 2 else run.log)({f"t{thread}": number})
        except BaseException as error:
            errors.append(repr(error))

    def toggle():
        try:
            while any(thread.is_alive() for thread in loggers):
                patch_wandb_log()
                unpatch_wandb_log()
        except BaseException as error:
            errors.append(repr(error))

    loggers = [threading.Thread(target=log, args=(number,)) for number in range(3)]
    togglers = [threading.Thread(target=toggle) for _ in range(2)]
    [thread.start() for thread in loggers + togglers]
    [thread.join() for thread in loggers + togglers]
    patch_wandb_log()
    unpatch_wandb_log()
    report(errors=errors)
    run.finish()
    """
    ended = run_program(program, timeout=120)
    assert (0, []) == (ended.code, ended.facts["errors"])
    assert all(line.startswith("foreign: ") for line in ended.err.splitlines())
    for thread in range(3):
        assert list(range(150)) == sorted(ended.runs["busy"].values(f"t{thread}"))


def test_a_call_that_is_under_way_when_the_patch_is_taken_off_is_not_lost(run_program):
    """It has found its way already, and the way is closed before it has gone."""
    program = """
    class Slow(wandb.Html):
        def to_json(self, run):
            thread = threading.Thread(target=unpatch_wandb_log)
            thread.start(), thread.join()
            return super().to_json(run)

    run = init("under way")
    patch_wandb_log()
    run.log({"a": 1}, step=1)
    run.log({"b": 2, "html": Slow("<b></b>")}, step=2)
    run.finish()
    """
    run = run_program(program).ended_well().runs["under way"]
    assert [1] == run.values("a")
    assert [2] == run.values("b")


IN_THE_MIDDLE = """
in_the_middle, logged, told, done = (threading.Event() for _ in range(4))
define_metric, finish = Run.define_metric, Run._finish


def define(self, name, *args, **more):
    if name == "marker":
        in_the_middle.set()
        logged.wait(0.5)  # not where the call is held back
    return define_metric(self, name, *args, **more)


def finish_later(self, *args, **more):
    told.set()
    done.wait(20)
    return finish(self, *args, **more)


def keep(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def log(step):
    run.log({"a": step}, step=step)


def log_what_waits():
    for step in range(100):
        log(step)
    run.log({"marker": 1}, step=50)


Run.define_metric = define
patch_wandb_log(flush_interval=NEVER, buffer_size=10_000)
run = init("in the middle")
"""


def test_steps_that_a_thread_logs_while_the_patch_is_taken_off_are_kept(run_program):
    """What waits is written before them: W&B would drop those that are below the numbers it gets then."""
    program = f"""{IN_THE_MIDDLE}
def go_on():
    in_the_middle.wait(20)
    for step in range(100, 110):
        log(step)
        logged.set()


log_what_waits()
thread = keep(go_on)
unpatch_wandb_log()
thread.join()
run.finish()
"""
    run = run_program(program).ended_well().runs["in the middle"]
    assert list(range(110)) == run.values("a")
    assert list(range(110)) == [row["_step"] for row in run.rows if "a" in row]


@pytest.mark.parametrize("bridge", ["", "configure(run, export_interval_millis=NEVER * 1e3)"])
def test_steps_that_a_thread_logs_while_the_run_finishes_are_kept(run_program, bridge):
    """Also one that W&B would drop, for it has counted further; and `safe_wandb_log`."""
    program = f"""{IN_THE_MIDDLE}
Run._finish = finish_later


def go_on():
    in_the_middle.wait(20)
    log(100)
    logged.set()
    told.wait(20)
    log(101)
    run.log({{"c": 3}}, step=70)
    log(102)
    safe_wandb_log({{"b": 7}}, step=103)
    done.set()


bridge = {bridge or None}
log_what_waits()
thread = keep(go_on)
run.finish()
thread.join()
"""
    run = run_program(program).ended_well().runs["in the middle"]
    assert list(range(103)) == run.values("a")
    assert {70: 3} == run.by_step("c")
    assert {103: 7} == run.by_step("b")


def test_unpatching_writes_what_waits_in_a_bridge_of_the_runs_own(run_program):
    """Else the numbers of W&B would be past its steps, when it is written."""
    program = """
    run = init("beside")
    bridge = configure(run, export_interval_millis=NEVER * 1e3)
    patch_wandb_log(flush_interval=NEVER)
    for step in range(10):
        run.log({"a": step}, step=step)
    unpatch_wandb_log()
    report(written=bridge.stats().written, pending=bridge.stats().pending)
    for step in range(10, 20):
        run.log({"a": step}, step=step)
    run.finish()
    """
    ended = run_program(program).ended_well()
    assert (10, 0) == (ended.facts["written"], ended.facts["pending"])
    assert list(range(20)) == ended.runs["beside"].values("a")


def test_what_a_signal_handler_or_a_flush_logs_is_not_held_back_by_itself(run_program):
    """While the patch is taken off, by the thread that does it and by the one that writes."""
    program = f"""{IN_THE_MIDDLE}
import signal

signal.signal(signal.SIGUSR1, lambda *_: log(200))


def define(self, name, *args, **more):
    if name == "marker":
        run.log({{"within": 1}}, step=300)
        os.kill(os.getpid(), signal.SIGUSR1)
    return define_metric(self, name, *args, **more)


Run.define_metric = define
log_what_waits()
begin = time.monotonic()
unpatch_wandb_log()
report(seconds=time.monotonic() - begin)
run.finish()
"""
    ended = run_program(program)
    assert ended.facts["seconds"] < 20
    run = ended.runs["in the middle"]
    assert [*range(100), 200] == sorted(run.values("a"))
    assert [1] == run.values("within")


def test_threads_may_log_while_another_flushes(run_program):
    """Whatever the moment of the flush: each value once, at its step."""
    program = """
    patch_wandb_log(buffer_size=7, flush_interval=NEVER)
    sys.setswitchinterval(1e-5)
    run = init("flushed")

    def log(thread):
        for step in range(300):
            run.log({f"t{thread}": step}, step=step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(3)]
    [thread.start() for thread in threads]
    while any(thread.is_alive() for thread in threads):
        finalize_wandb_logging()
    run.finish()
    report(stats=get_step_manager().get_stats())
    """
    ended = run_program(program, timeout=120).ended_well()
    for thread in range(3):
        assert {step: step for step in range(300)} == ended.runs["flushed"].by_step(f"t{thread}")
    stats = ended.facts["stats"]
    assert (900, 900, 0) == (stats["total_logs"], stats["written"], stats["pending"])


# Steps that W&B takes


@pytest.fixture(scope="module")
def steps(run_program):
    """The same steps, by W&B alone and patched."""
    program = """
    import numpy as np

    STEPS = [np.int64(1), np.array(2), np.int32(3), np.uint8(4), np.array([5])[0], 6]

    for name in ("native", "patched"):
        if name == "patched":
            patch_wandb_log()
        run = init(name)
        kept = {}
        for number, step in enumerate(STEPS):
            try:
                run.log({"a": number}, step=step)
                kept[number] = None
            except Exception as error:
                kept[number] = f"{type(error).__name__}: {error}"
        run.finish()
        report(**{name: kept})
    """
    return run_program(program).ended_well()


def test_numpy_and_0d_steps_are_what_they_are_in_wandb(steps):
    """What W&B takes for a step is one, and what it refuses it refuses."""
    assert steps.facts["native"] == steps.facts["patched"]
    native = {row["_step"]: row["a"] for row in steps.runs["native"].rows if "a" in row}
    assert native == steps.runs["patched"].by_step("a")


# A run that has steps already


def test_what_wandb_would_have_dropped_is_kept_in_a_run_that_was_logged_to_before(run_program):
    """Patched in the middle: W&B's count of steps does not begin at 0 then."""
    program = """
    run = init("middle")
    run.log({"a": 0}, step=50)
    patch_wandb_log()
    for value in (1, 2, 3):
        run.log({"a": value}, step=7)
    run.finish()
    """
    ended = run_program(program).ended_well()
    assert [0, 1, 2, 3] == sorted(ended.runs["middle"].values("a"))


def test_a_row_that_wandb_has_in_the_making_is_not_lost(run_program):
    """Logged before the patch, and not sealed yet."""
    program = """
    run = init("making")
    run.log({"a": 0}, step=5)
    patch_wandb_log()
    run.log({"b": 1}, step=5)
    run.log({"c": 2}, commit=False)
    unpatch_wandb_log()
    run.log({"d": 3}, step=60)
    run.finish()
    """
    rows = run_program(program).ended_well().runs["making"]
    assert [[0], [1], [2], [3]] == [rows.values(key) for key in "abcd"]


# Beside a bridge

BESIDE = {
    "drop-in first": """
        patch_wandb_log(flush_interval=NEVER)
        log_some(0)
        bridge = configure(run, export_interval_millis=NEVER * 1e3)
        log_some(1)
    """,
    "configure first": """
        bridge = configure(run, export_interval_millis=NEVER * 1e3)
        patch_wandb_log(flush_interval=NEVER)
        log_some(0)
        log_some(1)
    """,
    "drop-in first, then an exporter": """
        patch_wandb_log(flush_interval=NEVER)
        log_some(0)
        provider = provider_of(WandbMetricExporter(run))
        log_some(1)
    """,
    "an exporter first": """
        provider = provider_of(WandbMetricExporter(run))
        patch_wandb_log(flush_interval=NEVER)
        log_some(0)
        log_some(1)
    """,
    "unpatched in between": """
        patch_wandb_log(flush_interval=NEVER)
        log_some(0)
        unpatch_wandb_log()
        bridge = configure(run, export_interval_millis=NEVER * 1e3)
        patch_wandb_log(flush_interval=NEVER)
        log_some(1)
    """,
}


BESIDE_PROLOGUE = """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader


def provider_of(exporter):
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER * 1e3)
    return MeterProvider([reader])


def log_some(part):
    for step in (3, 1, 2):
        wandb.log({"a": step}, step=10 * part + step)
        run.log({"b": step}, 10 * part + step)
    run.log({"free": part})


run = init("beside")
"""


@pytest.mark.parametrize("name", BESIDE)
def test_beside_a_bridge_the_rows_are_the_same(run_program, name):
    """The drop-in gives way to a bridge that comes later, and uses one that was there before."""
    program = _flat(
        BESIDE_PROLOGUE, textwrap.dedent(BESIDE[name]), "finalize_wandb_logging()", "run.finish()"
    )
    run = run_program(program).ended_well().runs["beside"]
    whole = {step: step % 10 for step in (1, 2, 3, 11, 12, 13)}
    assert whole == run.by_step("a")
    assert whole == run.by_step("b")
    assert [0, 1] == run.values("free")
    assert all(("a" in row) == ("b" in row) for row in run.rows), "both calls of a step are in one row"


@pytest.mark.parametrize("moment", ["_owner_of", "watch"])
def test_what_another_thread_logs_while_a_bridge_takes_the_run_over_goes_through_it(run_program, moment):
    """When it is about to have it, and when it has: in the row of its step, without a word."""
    program = f"""
    from otel_wandb_bridge.write import target

    run = init("taken over")
    patch_wandb_log(flush_interval=NEVER)
    run.log({{"a": 1}}, step=1)
    original, calls = target.{moment}, []


    def interrupted(*args):
        calls.append(1)
        if len(calls) == moment:
            thread.start()
            thread.join(0.5)  # it is to wait
        return original(*args)


    moment = {2 if moment == "_owner_of" else 1}
    thread = threading.Thread(target=lambda: run.log({{"a": 2}}, step=2))
    target.{moment} = interrupted
    bridge = configure(run, export_interval_millis=NEVER * 1e3)
    thread.join()
    bridge.log({{"b": 2}}, step=2)
    report(threads=len(calls), recorded=bridge.stats().recorded)
    run.finish()
    """
    ended = run_program(program).ended_well()
    assert 2 == ended.facts["recorded"]
    (row,) = [row for row in ended.runs["taken over"].rows if row.get("global_step") == 2]
    assert (2, 2) == (row["a"], row["b"])


def test_a_run_that_finishes_while_others_log_is_finished_for_them(run_program):
    """Each of their calls is in the file, or raises W&B's own error: nobody goes on logging to a dead run."""
    program = """
    run = init("ends")
    patch_wandb_log()
    logged = [[], [], []]

    def log(thread):
        number = 0
        while True:
            try:
                run.log({f"t{thread}": number})
            except wandb.errors.UsageError:
                return
            logged[thread].append(number)
            number += 1
            time.sleep(0.001)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(3)]
    [thread.start() for thread in threads]
    while min(map(len, logged)) < 20:
        time.sleep(0.001)
    run.finish()
    [thread.join(20) for thread in threads]
    report(alive=sum(thread.is_alive() for thread in threads), logged=logged)
    """
    ended = run_program(program, timeout=60)
    assert 0 == ended.facts["alive"]
    for thread, numbers in enumerate(ended.facts["logged"]):
        assert set(ended.runs["ends"].values(f"t{thread}")) >= set(numbers[:-1])


def test_what_is_logged_in_the_middle_of_a_flush_costs_no_row(run_program):
    """By a signal handler or a finalizer, in the thread that writes: it waits in the lane like any call."""
    program = """
    run = init("interrupted")
    patch_wandb_log(flush_interval=NEVER)
    for step in range(10):
        wandb.log({"a": step}, step=step)
    publish, calls = wandb_run.Run._partial_history_callback, []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 5:
            wandb.log({"free": 1})
            run.log({"low": 2}, step=6)
        return publish(self, *args, **kwargs)

    wandb_run.Run._partial_history_callback = interrupted
    finalize_wandb_logging()
    run.finish()
    report(stats=get_step_manager().get_stats())
    """
    ended = run_program(program)
    assert {step: step for step in range(10)} == ended.runs["interrupted"].by_step("a")
    assert [1] == ended.runs["interrupted"].values("free")
    assert {6: 2} == ended.runs["interrupted"].by_step("low")
    assert 12 == ended.facts["stats"]["written"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_glob_of_the_user_keeps_what_it_says_of_the_summary(run_program, when):
    """Though each key is defined by name on the axis, which is stronger than a glob."""
    define = 'run.define_metric("val/*", summary="min")'
    first, second = (define, "") if when == "before" else ("", define)
    program = f"""
    patch_wandb_log()
    run = init("globs")
    {first}
    run.log({{"val/a": 16}}, step=0)
    finalize_wandb_logging()
    {second}
    for step in range(1, 10):
        run.log({{"val/a": (step - 4) ** 2}}, step=step)
    finalize_wandb_logging()
    report(least=dict(run.summary.get("val/a")))
    run.finish()
    """
    assert {"min": 0} == run_program(program).facts["least"]
