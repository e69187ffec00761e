"""The names that programs use, what they promise, and what can be seen of them. Real offline runs."""

import inspect
from dataclasses import fields

import pytest

from otel_wandb_bridge import wandb_step_fix
from otel_wandb_bridge.stats import Stats
from otel_wandb_bridge.wandb_step_fix import WandBStepManager, patch_wandb_log

# Names

EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("patch_wandb_log", {"options": EMPTY}),
        ("unpatch_wandb_log", {}),
        (
            "safe_wandb_log",
            {"data": EMPTY, "step": None, "source": "default", "priority": 5, "commit": None},
        ),
        ("update_training_step", {"step": EMPTY, "source": "trainer"}),
        ("get_step_manager", {}),
        ("finalize_wandb_logging", {}),
        ("WandBStepManager", {"buffer_size": 100, "flush_interval": 2.0, "options": EMPTY}),
    ],
)
def test_names_and_defaults_are_those_that_programs_rely_on(name, parameters):
    """The tool of this name, name for name."""
    signature = inspect.signature(getattr(wandb_step_fix, name))
    assert parameters == {each.name: each.default for each in signature.parameters.values()}
    for each in signature.parameters.values():
        assert each.kind is (each.VAR_KEYWORD if each.name == "options" else each.POSITIONAL_OR_KEYWORD)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("update_step", {"step": EMPTY, "source": "trainer"}), ("get_stats", {}), ("flush", {"timeout": 30.0})],
)
def test_a_manager_has_the_methods_that_programs_rely_on(name, parameters):
    """`flush()` and `get_stats()` need nothing."""
    signature = inspect.signature(getattr(WandBStepManager(), name))
    assert parameters == {each.name: each.default for each in signature.parameters.values()}


def test_priorities_have_names():
    """0 is the highest, 10 the lowest."""
    names = (wandb_step_fix.TRAINER, wandb_step_fix.EVALUATION, wandb_step_fix.DEFAULT, wandb_step_fix.DEBUG)
    assert (0, 1, 5, 10) == names


def test_every_public_name_is_there():
    """And sorted."""
    assert sorted(wandb_step_fix.__all__) == wandb_step_fix.__all__
    assert set() == {name for name in wandb_step_fix.__all__ if not hasattr(wandb_step_fix, name)}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("buffer_size", 0),
        ("buffer_size", 1.5),
        ("buffer_size", True),
        ("flush_interval", 0),
        ("flush_interval", float("inf")),
        ("flush_interval", float("nan")),
        ("flush_interval", "2"),
        ("hold", -1),
        ("late", "never"),
        ("step_metric", ""),
        ("step_keys", "train/global_step"),
        ("priorities", {"trainer": 11}),
        ("buffer", 3),
    ],
)
@pytest.mark.parametrize("make", [WandBStepManager, patch_wandb_log])
def test_an_option_that_cannot_be_used_is_named(make, option, value):
    """Before anything is patched."""
    with pytest.raises((TypeError, ValueError), match=option):
        make(**{option: value})


def test_options_are_for_the_runs_to_come(run_program):
    """Patching again changes nothing for a run that is under way, and a bad option nothing at all."""
    program = """
    patch_wandb_log(step_metric="one", flush_interval=NEVER)
    with init("first"):
        wandb.log({"a": 1}, step=1)
        patch_wandb_log(step_metric="two", flush_interval=NEVER)
        try:
            patch_wandb_log(step_metric="_three")
        except ValueError:
            pass
        wandb.log({"a": 2}, step=2)
    with init("second"):
        patch_wandb_log()
        wandb.log({"a": 3}, step=3)
    """
    runs = run_program(program).ended_well().runs
    assert {1: 1, 2: 2} == runs["first"].by_step("a", axis="one")
    assert {3: 3} == runs["second"].by_step("a", axis="two")


def test_managers_share_the_pipeline_of_a_run(run_program):
    """Whoever logs to it, through whichever of them: one row for each step, and one count."""
    program = """
    run = init("shared")
    one, two = WandBStepManager(flush_interval=NEVER), WandBStepManager(flush_interval=NEVER)
    one.update_step(3)
    one.log({"a": 1})
    two.log({"b": 2}, step=3, source="evaluation", priority=1)
    safe_wandb_log({"c": 3})
    two.flush()
    report(totals=[each.get_stats()["total_logs"] for each in (one, two, get_step_manager())])
    """
    ended = run_program(program).ended_well()
    (row,) = ended.runs["shared"].plain()
    assert {"a": 1, "b": 2, "c": 3, "global_step": 3} == row
    assert [3, 3, 3] == ended.facts["totals"]


# Calls

CALLS = """
report(no_run=safe_wandb_log({"a": 1}, step=2), early=get_step_manager().get_stats())
safe_wandb_log({"a": 3}, step=1, source="evaluation", priority=1)
update_training_step(4)
safe_wandb_log({"b": 4})
update_training_step(5)
report(finalized_without_a_run=finalize_wandb_logging())
run = init("calls")
safe_wandb_log({"b": 5, "c": 5})
safe_wandb_log({"held": 1}, source="trainer", commit=False)
safe_wandb_log({"after": 2}, source="trainer")
safe_wandb_log({"p": "debug"}, step=9, source="debug", priority=10)
safe_wandb_log({"p": "trainer"}, step=9, source="trainer", priority=0)
safe_wandb_log({"p": "evaluation"}, step=9, source="evaluation", priority=1)
safe_wandb_log({"q": "said"}, step=9, source="debug", priority=2)
safe_wandb_log({"q": "by default"}, step=9, source="reward")
report(flushed=finalize_wandb_logging())
safe_wandb_log({"later": 1}, step=10)
wandb.log({"beside": 1})
report(finalized=get_step_manager().flush(), stats=get_step_manager().get_stats())
safe_wandb_log({"at_the_end": 1}, step=11)
report(same=get_step_manager() is get_step_manager(), manager=type(get_step_manager()).__name__)
"""


@pytest.fixture(scope="module")
def calls(run_program):
    """The same program, without and with the patch."""
    without = run_program(f"\n{CALLS}")
    patched = run_program(f"\npatch_wandb_log(flush_interval=NEVER)\n{CALLS}")
    assert (0, 0) == (without.code, patched.code), (without.err + patched.err)[-500:]
    return {"without": without, "patched": patched}


WITH_AND_WITHOUT = pytest.mark.parametrize("name", ["without", "patched"])


@WITH_AND_WITHOUT
def test_what_is_said_before_init_waits_for_the_run(calls, name):
    """Values and steps, in their order."""
    run = calls[name].runs["calls"]
    assert {1: 3, 2: 1} == run.by_step("a")
    assert {4: 4, 5: 5} == run.by_step("b")
    assert 1 == calls[name].facts["early"]["total_logs"]


@WITH_AND_WITHOUT
def test_what_waits_for_a_run_is_not_said_to_be_written(calls, name):
    """`finalize_wandb_logging` returns whether all of it is."""
    assert not calls[name].facts["finalized_without_a_run"]
    assert calls[name].facts["flushed"]


@WITH_AND_WITHOUT
def test_what_waits_for_a_run_is_pending(calls, name):
    """It is counted where a program looks for it."""
    early = calls[name].facts["early"]
    assert (1, 1) == (early["recorded"], early["pending"])


@WITH_AND_WITHOUT
def test_a_call_returns_none(calls, name):
    """As `wandb.log` does."""
    assert calls[name].facts["no_run"] is None


@WITH_AND_WITHOUT
def test_commit_false_is_that_of_wandb_log(calls, name):
    """The values go with the next call without a step."""
    (row,) = (row for row in calls[name].runs["calls"].rows if "held" in row)
    assert (1, 2, 5) == (row["held"], row["after"], row["global_step"])


@WITH_AND_WITHOUT
def test_of_two_values_the_higher_priority_stands(calls, name):
    """0 is the trainer's; what is said with the call beats what is known of its source."""
    assert {9: "trainer"} == calls[name].runs["calls"].by_step("p")
    assert {9: "said"} == calls[name].runs["calls"].by_step("q")


@WITH_AND_WITHOUT
def test_logging_goes_on_after_finalize(calls, name):
    """It is a flush; what comes afterwards is written too, without another."""
    run = calls[name].runs["calls"]
    assert {10: 1} == run.by_step("later")
    assert {11: 1} == run.by_step("at_the_end")
    assert [1] == run.values("beside")
    assert calls[name].facts["finalized"]


def test_the_counts_have_their_names(calls):
    """The four of the tool it follows, and all of `Stats`."""
    stats = calls["patched"].facts["stats"]
    four = {"total_logs", "dropped_logs", "step_conflicts", "successful_flushes"}
    by_name = {"rejected_reasons", "late_by_source", "overridden_by_source"}
    all_of_stats = {field.name for field in fields(Stats)} - by_name
    assert four | all_of_stats == set(stats)
    assert all(type(count) is int for count in stats.values())
    ends = ("written", "overridden", "dropped", "rejected", "shed", "pending")
    assert stats["recorded"] == sum(stats[end] for end in ends)
    assert (13, 0) == (stats["total_logs"], stats["dropped_logs"])


def test_there_is_one_manager(calls):
    """It is made where there is none."""
    assert (True, "WandBStepManager") == (
        calls["without"].facts["same"],
        calls["without"].facts["manager"],
    )


# Rubbish

RUBBISH = """
class Hostile:
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __hash__ = __eq__ = __index__ = __float__ = __copy__ = __deepcopy__ = __str__

class Mapping(dict):
    def items(self):
        raise RuntimeError("no items")

class Uncopyable:
    def detach(self):
        raise RuntimeError("no copy")
    clone = detach

hostile = Hostile()
"""

RUBBISH_CALLS = [
    "safe_wandb_log(None)",
    "safe_wandb_log(5)",
    "safe_wandb_log('loss')",
    "safe_wandb_log([('a', 1)])",
    "safe_wandb_log(hostile)",
    "safe_wandb_log(Mapping(a=1))",
    "safe_wandb_log({5: 1})",
    "safe_wandb_log({'': 1})",
    "safe_wandb_log({'a': 1}, step='seven')",
    "safe_wandb_log({'a': 1}, step=1.5)",
    "safe_wandb_log({'a': 1}, step=True)",
    "safe_wandb_log({'a': 1}, step=hostile)",
    "safe_wandb_log({'a': 1}, step=[1])",
    "safe_wandb_log({'a': 1}, step=2**70)",
    "safe_wandb_log({'a': Uncopyable()}, step=3)",
    "safe_wandb_log({'a': object()}, step=3)",
    "safe_wandb_log({'a': hostile}, step=3)",
]
"""Each has one value that cannot be used."""

HARMLESS_CALLS = [
    "safe_wandb_log({})",
    "safe_wandb_log({'ok': 1}, step=3, priority=99)",
    "safe_wandb_log({'ok': 1}, step=4, priority='high')",
    "safe_wandb_log({'ok': 1}, step=5, priority=None)",
    "safe_wandb_log({'ok': 1}, step=6, source=None)",
    "safe_wandb_log({'ok': 1}, step=7, source=7)",
    "safe_wandb_log({'ok': 1}, step=8, commit='yes')",
    "safe_wandb_log({'ok': 1}, step='9')",
    "safe_wandb_log({'ok': 1}, step=10.0)",
    "safe_wandb_log({'ok': 1}, step=11, source=hostile)",
    "update_training_step('seven')",
    "update_training_step(-1)",
    "update_training_step(None)",
    "update_training_step(True)",
    "update_training_step(float('nan'))",
    "update_training_step(hostile)",
    "update_training_step(3, source=hostile)",
    "update_training_step(3, source=None)",
]
"""Each has none."""


@pytest.fixture(scope="module")
def rubbish(run_program):
    """Each call by itself: what it raised, and what was rejected then."""
    program = f"""
    run = init("rubbish")
    patch_wandb_log(flush_interval=NEVER)
    rejected = 0
    for call in {RUBBISH_CALLS + HARMLESS_CALLS!r}:
        try:
            raised = repr(eval(call))
        except BaseException as error:
            raised = type(error).__name__
        flushed = finalize_wandb_logging()
        now = get_step_manager().get_stats()
        report(**{{call: [raised, flushed, now["rejected"] - rejected]}})
        rejected = now["rejected"]
    wandb.log({{"still": 1}}, step=20)
    report(stats=get_step_manager().get_stats())
    """
    return run_program(f"\n{RUBBISH}\n{inspect.cleandoc(program)}")


@pytest.mark.parametrize("call", RUBBISH_CALLS)
def test_rubbish_is_never_raised_and_always_counted(rubbish, call):
    """It returns, the flush goes well, and one value is rejected."""
    assert ["None", True, 1] == rubbish.facts[call]


@pytest.mark.parametrize("call", HARMLESS_CALLS)
def test_a_strange_argument_costs_no_value(rubbish, call):
    """It returns, the flush goes well, and no value is rejected."""
    assert ["None", True, 0] == rubbish.facts[call]


def test_rubbish_harms_nothing_else(rubbish):
    """The values beside it and after it are in their rows; every count is right."""
    run = rubbish.runs["rubbish"]
    assert dict.fromkeys(range(3, 12), 1) == run.by_step("ok")
    assert {20: 1} == run.by_step("still")
    stats = rubbish.facts["stats"]
    assert len(RUBBISH_CALLS) == stats["rejected"] == stats["dropped_logs"]
    assert "Traceback" not in rubbish.err


def test_each_kind_of_conflict_is_counted(run_program):
    """5 → 15 is a jump, 15 → 4 a regression, 4 → 4 a duplicate."""
    program = """
    run = init("conflicts")
    names = ("step_conflicts", "step_jumps", "step_regressions", "duplicate_steps")
    for number, step in enumerate((5, 15, 4, 4)):
        update_training_step(step)
        finalize_wandb_logging()
        stats = get_step_manager().get_stats()
        report(**{str(number): [stats[name] for name in names]})
    """
    facts = run_program(program).ended_well().facts
    assert [[0, 0, 0, 0], [1, 1, 0, 0], [2, 1, 1, 0], [3, 1, 1, 1]] == [facts[str(n)] for n in range(4)]


def test_an_announcement_costs_no_call_beside_it(run_program):
    """Steps are announced and values logged, in one flush: all of them arrive."""
    program = """
    patch_wandb_log(flush_interval=NEVER)
    run = init("announced")
    for step in range(5):
        update_training_step(step)
        wandb.log({"a": step})
        wandb.log({"b": step}, step=step)
    """
    run = run_program(program).ended_well().runs["announced"]
    assert {step: step for step in range(5)} == run.by_step("a") == run.by_step("b")


@pytest.mark.parametrize("patch", ["", "patch_wandb_log(flush_interval=NEVER)"], ids=["without", "patched"])
def test_what_is_said_before_init_needs_no_call_after_it(run_program, patch):
    """The run itself ends the wait; the next run gets nothing of it."""
    program = f"""
    {patch}
    safe_wandb_log({{"a": 1}}, step=1)
    init("quiet").finish()
    safe_wandb_log({{"b": 2}}, step=2)
    init("next").finish()
    """
    runs = run_program(program).ended_well().runs
    assert ({1: 1}, []) == (runs["quiet"].by_step("a"), runs["quiet"].values("b"))
    assert ([], {2: 2}) == (runs["next"].values("a"), runs["next"].by_step("b"))


def test_what_waits_for_a_run_that_never_comes_is_said_at_the_end(run_program):
    """Nothing is dropped silently."""
    ended = run_program("""
    safe_wandb_log({"a": 1, "b": 2})
    """)
    assert (0, {}) == (ended.code, ended.runs)
    assert "lost" in ended.err


# When it is flushed


@pytest.mark.parametrize(
    ("options", "is_written"),
    [
        ("buffer_size=5, flush_interval=NEVER", True),
        ("buffer_size=1000, flush_interval=0.05", True),
        ("buffer_size=1000, flush_interval=NEVER", False),
    ],
    ids=["the buffer is full", "the interval is over", "neither"],
)
def test_rows_are_written_when_the_buffer_is_full_or_the_interval_over(run_program, options, is_written):
    """And not before: `buffer_size` is in calls, `flush_interval` in seconds."""
    program = f"""
    run = init("flushing")
    patch_wandb_log({options})
    for step in range(20):
        wandb.log({{"a": step}}, step=step)
    if {is_written}:
        wait_until(lambda: get_step_manager().get_stats()["rows"] > 0)
    report(rows=get_step_manager().get_stats()["rows"])
    """
    ended = run_program(program).ended_well()
    assert is_written == (ended.facts["rows"] > 0)
    assert {step: step for step in range(20)} == ended.runs["flushing"].by_step("a")


def test_four_lines_are_enough(run_program):
    """The form that programs have which follow the tool's own manual."""
    program = """
    import atexit

    if os.getenv("WANDB_STEP_FIX_ENABLED", "").lower() in ("true", "1", "yes", "on"):
        patch_wandb_log()
        atexit.register(finalize_wandb_logging)

    wandb.init(project="drop-in", id="four")
    wandb.log({"a": 2}, step=2)
    wandb.log({"a": 1}, step=1)
    """
    on = run_program(program, WANDB_STEP_FIX_ENABLED="Yes").ended_well()
    assert {1: 1, 2: 2} == on.runs["four"].by_step("a")
    off = run_program(program).ended_well()
    assert [2] == off.runs["four"].values("a")


def test_a_program_that_logs_in_an_exit_handler_alone_loses_nothing(run_program):
    """There is no exporter yet. From Python 3.12 on none can be made any more: the calls are W&B's own."""
    program = """
    import atexit

    patch_wandb_log()
    wandb.init(project="drop-in", id="last")

    @atexit.register
    def log():
        for step in range(20):
            wandb.log({"a": step}, step=step)
    """
    ended = run_program(program).ended_well()
    assert [*range(20)] == ended.runs["last"].values("a")


# What can be seen

DECISIONS = """
patch_wandb_log(flush_interval=NEVER)
with init("decisions"):
    wandb.log({"loss": 1}, step=3)
    wandb.log({"lr": 2}, commit=False)
    update_training_step(4)
    wandb.log({"reward": 3})
    finalize_wandb_logging()
"""

HANDLERS = "logging.basicConfig(stream=sys.stdout, format='> %(message)s')\n"
OWN_HANDLER = "logging.getLogger('wandb_step_fix').addHandler(logging.FileHandler('own'))\n"
SWITCH = 'logging.getLogger("wandb_step_fix").setLevel(logging.DEBUG)\n'


@pytest.fixture(scope="module")
def said(run_program):
    """What a program prints, by how it has set up logging."""
    set_ups = {
        "nothing": "",
        "the switch": SWITCH,
        "the switch, and handlers": HANDLERS + SWITCH,
        "the switch, and handlers later": SWITCH + HANDLERS,
        "handlers": HANDLERS + "logging.getLogger().setLevel(logging.INFO)\n",
        "a handler of its own": OWN_HANDLER + SWITCH,
    }
    return {name: run_program(f"\n{set_up}{DECISIONS}") for name, set_up in set_ups.items()}


def test_without_the_switch_nothing_is_said(said):
    """The drop-in is silent."""
    for name in ("nothing", "handlers"):
        assert (0, "", "") == (said[name].code, said[name].out, said[name].err)


def test_the_switch_shows_every_decision_on_stderr(said):
    """In a program that has set up no logging."""
    lines = said["the switch"].err.splitlines()
    assert "" == said["the switch"].out
    assert all(line.startswith("wandb_step_fix: DEBUG: ") for line in lines)
    for key, step in (("loss", "step 3"), ("reward", "step 4")):
        assert 1 == sum(key in line and step in line for line in lines), lines
    assert any("commit=False" in line for line in lines)


@pytest.mark.parametrize("name", ["the switch, and handlers", "the switch, and handlers later"])
def test_with_handlers_the_decisions_go_there_alone(said, name):
    """Once, in the program's own format."""
    assert "" == said[name].err
    assert 1 == sum("loss" in line and line.startswith("> ") for line in said[name].out.splitlines())


def test_with_a_handler_of_its_own_the_logger_prints_nothing(said):
    """Who hangs a handler onto the documented name has them there."""
    assert (0, "", "") == tuple(
        getattr(said["a handler of its own"], each) for each in ("code", "out", "err")
    )


# The same calls as metrics

GAUGES = """
patch_wandb_log(flush_interval=NEVER)
{after}
run = init("gauges")
wandb.log({{"train/loss": 0.5, "epoch": 3, "nan": float("nan"), "text": "x", "yes": True}}, step=1)
wandb.log({{"train/loss": 0.25}}, step=2)
wandb.log({{"html": wandb.Html("<b></b>"), "nested": {{"x": 1}}}}, step=2)
safe_wandb_log({{"reward": 7}}, step=2)
finalize_wandb_logging()
values = {{}}
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                values[metric.name] = point.value
report(values=values)
"""

PROVIDER = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
"""

SET = "metrics.set_meter_provider(MeterProvider([reader]))\n"


@pytest.mark.parametrize("order", ["provider first", "patch first", "patch and calls first"])
def test_scalars_are_gauges_of_the_global_meter_provider(run_program, order):
    """Each key its last value, for every other reader, whoever came first; finite numbers alone."""
    program = PROVIDER + GAUGES.format(after=SET if order == "patch first" else "")
    if order == "provider first":
        program = PROVIDER + SET + GAUGES.format(after="")
    elif order == "patch and calls first":
        head, found, tail = program.partition("values = {}")
        program = head + SET + found + tail
    values = run_program(f"\n{program}").ended_well().facts["values"]
    assert {"train/loss": 0.25, "epoch": 3, "reward": 7} == {
        key: values[key] for key in values if not key.startswith("otel_wandb_bridge")
    }


# Counts

BESIDE = """
def log(run, steps):
    for step in steps:
        run.log({"a": step}, step=step)


patch_wandb_log(flush_interval=NEVER)
"""


def test_what_a_bridge_of_its_own_writes_at_the_end_is_counted(run_program):
    """It writes its last after the calls have ended, and may be gone when the counts are read."""
    program = f"""{BESIDE}
import gc

run = init("own")
bridge = configure(run, export_interval_millis=NEVER * 1e3)
log(run, range(100))
bridge.log({{"b": 1}}, step=3)
run.finish()
ended = get_step_manager().get_stats()
bridge.shutdown()
del bridge, run
gc.collect()
report(counts=[[each[name] for name in ("total_logs", "recorded", "written", "pending", "rows")]
               for each in (ended, get_step_manager().get_stats())])
"""
    assert [[100, 101, 101, 0, 100]] * 2 == run_program(program).ended_well().facts["counts"]


def test_a_bridge_that_follows_the_active_run_is_counted_once(run_program):
    """It has the counts of all its runs."""
    program = f"""{BESIDE}
bridge = configure(export_interval_millis=NEVER * 1e3)
for name in ("one", "two"):
    with init(name) as run:
        log(run, range(10))
        during = get_step_manager().get_stats()
bridge.shutdown()
stats = get_step_manager().get_stats()
report(during=[during[name] for name in ("total_logs", "recorded", "written", "pending")],
       after=[stats[name] for name in ("total_logs", "recorded", "written", "pending")])
"""
    facts = run_program(program).ended_well().facts
    assert [20, 20, 10, 10] == facts["during"]
    assert [20, 20, 20, 0] == facts["after"]
