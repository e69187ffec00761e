"""However a program ends short of a signal, the last interval is in the file, and nobody notices us."""

import itertools
import textwrap

import pytest

MAKERS = {
    "configure": "bridge = configure(RUN, export_interval_millis=NEVER)",
    "configure_own": "bridge = configure(RUN, export_interval_millis=NEVER, set_global=False)",
    "exporter": "provider = new_provider(WandbMetricExporter(RUN))",
    "exporter_without_hook": "provider = new_provider(WandbMetricExporter(RUN), shutdown_on_exit=False)",
}
ORDERS = {
    "given": "run = wandb.init()\nMAKE",
    "followed": "run = wandb.init()\nMAKE",
    "made_before_init": "MAKE\nrun = wandb.init()",
}
INIT_IMPORTED_BEFORE = (
    "from wandb import init\nMAKE\nrun = init()"  # out of reach of whoever wraps wandb.init
)
RECORD = """
if "bridge" in globals():
    provider = bridge.meter_provider
loss = provider.get_meter("trainer").create_gauge("loss")


def record(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        if "bridge" in globals():
            bridge.log({"note": f"at {step}"}, step=step, source="trainer")


def flush():
    bridge.force_flush() if "bridge" in globals() else provider.force_flush()


def shutdown():
    bridge.shutdown() if "bridge" in globals() else provider.shutdown()


record(range(5))
"""
IMPLICIT_ENDS = {
    "the script ends": (0, "record(range(5, 10))"),
    "exception": (1, "flush(); record(range(5, 10)); raise RuntimeError('of the user')"),
    "sys.exit": (3, "flush(); record(range(5, 10)); sys.exit(3)"),
    "sys.exit with text": (1, "record(range(5, 10)); sys.exit('of the user')"),
    "sys.exit in a thread": (
        0,
        """
record(range(5, 10))
thread = threading.Thread(target=sys.exit, args=[3])
thread.start()
thread.join()
""",
    ),
    "threads go on": (
        0,
        """
def go_on():
    threading.main_thread().join()
    record(range(5, 10))


threading.Thread(target=go_on).start()
""",
    ),
    "exit handler": (0, "atexit.register(record, range(5, 10))"),
    "daemon thread": (
        0,
        """
def go_on_for_ever():
    while True:
        noise.set(1, {"step": 3, "source": "daemon"})


noise = provider.get_meter("daemon").create_gauge("noise")
threading.Thread(target=go_on_for_ever, daemon=True).start()
record(range(5, 10))
""",
    ),
}
EXPLICIT_ENDS = {
    "finish": "run.finish()",
    "finish, then shutdown": "run.finish(); shutdown()",
    "shutdown, then finish": "shutdown(); run.finish()",
    "wandb.finish": "wandb.finish()",
    "with": "with run: record(range(10, 12))",
    "finish in a thread": "t = threading.Thread(target=run.finish); t.start(); t.join()",
    "teardown": "wandb.teardown()",
}


def making(maker, order, run="run"):
    """The lines that make the provider and the run, in that order or the other."""
    make = MAKERS[maker].replace("RUN", run if order == "given" else "None")
    return ORDERS.get(order, INIT_IMPORTED_BEFORE).replace("MAKE", make) + "\n"


def cases_of(end):
    """The plain end comes with every provider in every order; each other end with two of these, in turn."""
    if end == "the script ends":
        return [*itertools.product(MAKERS, ORDERS), ("exporter", "init imported before")]
    turn, makers = list(IMPLICIT_ENDS).index(end), list(MAKERS)
    return [(makers[turn % 4], "made_before_init"), (makers[(turn + 1) % 4], ["given", "followed"][turn % 2])]


@pytest.mark.parametrize("end", IMPLICIT_ENDS)
def test_the_last_interval_arrives_however_the_program_ends(run_scripts, end):
    """The exit code stays what it was, and nothing is said that the program would not say without us."""
    code, ending = IMPLICIT_ENDS[end]
    cases = {f"{maker} {order}": making(maker, order) + RECORD + ending for maker, order in cases_of(end)}
    for case, outcome in run_scripts(cases).items():
        assert (case, code) == (case, outcome.code)
        assert outcome.err.count("Traceback") == (end == "exception")
        assert_all_there(outcome.run, range(10), has_lane=case.startswith("configure"))
        if end != "daemon thread":  # what that records after the last flush is late, or really lost
            assert (case, said_by_the_user(end)) == (case, outcome.err.splitlines()[-1:])
            assert list(range(10)) == outcome.run.steps()


def test_the_last_interval_arrives_however_the_run_ends(run_scripts):
    """Every provider, with the run given and followed; for each end, all of them in one process."""
    cases = list(itertools.product(MAKERS, ("given", "made_before_init")))
    sources = dict.fromkeys(EXPLICIT_ENDS, "")
    for end, (maker, order) in itertools.product(EXPLICIT_ENDS, cases):
        sources[end] += making(maker, order).replace("wandb.init()", f"wandb.init(id='{maker}-{order}')")
        sources[end] += RECORD + "record(range(5, 10))\n" + EXPLICIT_ENDS[end] + "\n"
        sources[end] += "" if "shutdown" in end else "shutdown()\n"
        sources[end] += "globals().pop('bridge', None)\n"
    for end, outcome in run_scripts(sources).items():
        assert (end, 0, "", len(cases)) == (end, outcome.code, outcome.err, len(outcome.runs))
        for maker, order in cases:
            run, steps = outcome.runs[f"{maker}-{order}"], range(12 if end == "with" else 10)
            assert_all_there(run, steps, has_lane=maker.startswith("configure"))
            assert list(steps) == run.steps()


@pytest.mark.parametrize("maker", ["configure", "exporter"])
def test_the_last_interval_arrives_when_a_with_statement_ends(run_scripts, maker):
    """The bridge is made inside of it, as in W&B's own examples; an exception ends it too."""
    body = textwrap.indent(MAKERS[maker].replace("RUN", "run") + RECORD + "record(range(5, 10))", "    ")
    ends = {"end": "", "exception": "    raise RuntimeError('of the user')\n"}
    outcomes = run_scripts({end: f"with wandb.init() as run:\n{body}\n{ends[end]}" for end in ends})
    assert outcomes["end"].ended_well().run.steps() == outcomes["exception"].run.steps() == list(range(10))
    assert outcomes["exception"].code == 1
    # W&B says it once more.
    assert ["RuntimeError: of the user"] == sorted(
        {line for line in outcomes["exception"].err.splitlines() if not line.startswith((" ", "Traceback"))}
    )


OBSERVED = """
if "bridge" in globals():
    provider = bridge.meter_provider
now = 0
provider.get_meter("trainer").create_observable_gauge("loss", [lambda _: [Observation(now / 2)]])
for now in range(10):
    set_step(now)
"""


@pytest.mark.parametrize("maker", ["configure", "exporter", "exporter_without_hook"])
def test_an_observable_instrument_is_read_a_last_time(run_scripts, maker):
    """Also where it is the only instrument and no interval has passed. It is read once, and once only."""
    finishing = ""
    for order in ("given", "made_before_init"):
        finishing += making(maker, order).replace("wandb.init()", f"wandb.init(id='{order}')")
        finishing += OBSERVED + "run.finish()\n"
        finishing += "bridge.shutdown(); del bridge\n" if maker.startswith("configure") else ""
    outcomes = run_scripts(
        {
            "given": making(maker, "given") + OBSERVED,
            "made before init": making(maker, "made_before_init") + OBSERVED,
            "finish": finishing,
        }
    )
    for end, outcome in outcomes.items():
        assert (end, 0, "") == (end, outcome.code, outcome.err)
        for run in outcome.runs.values():
            assert (end, {9: 4.5}) == (end, run.series("loss"))


def test_exit_handlers_registered_before_ours_cannot_be_served(run_scripts):
    """W&B is gone when they run, or so are we: what they record is lost, and nothing else is."""
    handler = "atexit.register(lambda: record(range(20, 21)))\n"
    last = "record(range(5, 10)); sys.exit(4)"
    outcomes = run_scripts(
        {
            "before init": handler + making("exporter", "given") + RECORD + last,
            "between": "run = wandb.init()\n"
            + handler
            + MAKERS["exporter"].replace("RUN", "run")
            + RECORD
            + last,
        }
    )
    for case, outcome in outcomes.items():
        assert (case, 4) == (case, outcome.code)
        assert "Traceback" not in outcome.err
        assert {step: step / 2 for step in range(10)} == outcome.run.series("loss")


def assert_all_there(run, steps, *, has_lane):
    """Every value at its step."""
    assert {step: step / 2 for step in steps} == run.series("loss")
    if has_lane:
        assert {step: f"at {step}" for step in steps} == run.series("note")


def said_by_the_user(end):
    """The last line on stderr, if there is one."""
    return {"exception": ["RuntimeError: of the user"], "sys.exit with text": ["of the user"]}.get(end, [])
