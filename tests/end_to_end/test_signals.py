"""A signal ends the program: what was recorded before is in the run, and the rest is as without us."""

import os
import signal

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other platforms end nothing like this")

PROGRAM = """
import signal

RUN
bridge = configure(run, export_interval_millis=NEVER)
loss = metrics.get_meter("trainer").create_gauge("loss")


def record(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        bridge.log({"note": f"at {step}"}, step=step, source="trainer")


def kill(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


record(range(10))
"""


def program(ending, *, before="run = wandb.init()"):
    return PROGRAM.replace("RUN", before) + ending


def assert_whole(run, steps=range(10), exit_code=255):
    assert {step: step / 2 for step in steps} == run.series("loss")
    assert {step: f"at {step}" for step in steps} == run.series("note")
    assert list(steps) == run.steps()
    assert exit_code == run.exit_code


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_that_nobody_handles_ends_the_program_as_ever_but_nothing_is_lost(run_script, name):
    """With the status of the signal, without `finally` and exit handlers; the run counts as killed."""
    outcome = run_script(
        program(
            f"""
atexit.register(report, never=True)
try:
    kill(signal.{name})
    time.sleep(20)
finally:
    report(never=True)
""",
            before=f"signal.signal(signal.{name}, signal.SIG_DFL)\nrun = wandb.init()",
        )
    )
    assert (-getattr(signal, name), "", []) == (outcome.code, outcome.err, outcome.reports)
    assert_whole(outcome.run)


def test_a_signal_in_an_exit_handler_ends_the_program_at_once_and_nothing_is_lost(run_script):
    """From there no thread can be started (Python 3.12 on)."""
    outcome = run_script(
        program(
            """
def kill_and_wait():
    kill()
    time.sleep(20)


atexit.register(kill_and_wait)
""",
            before="signal.signal(signal.SIGTERM, signal.SIG_DFL)\nrun = wandb.init()",
        ),
        timeout=15,
    )
    assert (-signal.SIGTERM, "") == (outcome.code, outcome.err)
    assert_whole(outcome.run)


@pytest.mark.parametrize(
    ("handler", "code", "exit_code"),
    [
        ("sys.exit(7)", 7, 7),
        ("raise KeyboardInterrupt", -2, 255),
        ("stop.set()", 0, 0),
        ("run.finish(exit_code=3); os._exit(9)", 9, 3),
        ("bridge.force_flush(); stop.set()", 0, 0),
        ("bridge.shutdown(); run.finish(); sys.exit(4)", 4, 0),
        ("signal.signal(number, signal.SIG_DFL); run.finish(exit_code=5); kill(number)", -15, 5),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_programs_own_is_called_and_decides(run_script, handler, code, exit_code, when):
    """Whether it was set before the bridge was made or after: once, with what Python gives to handlers."""
    setting = f"""
stop, calls = threading.Event(), []


def handle(number, frame):
    calls.append(number)
    report(number=number, has_frame=frame is not None)
    {handler}


signal.signal(signal.SIGTERM, handle)
run = wandb.init()
"""
    outcome = run_script(
        program(
            ("" if when == "before" else setting.replace("run = wandb.init()", ""))
            + "kill()\nassert stop.wait(20)\n",
            before=setting if when == "before" else "run = wandb.init()",
        )
    )
    assert (code, [{"number": 15, "has_frame": True}]) == (outcome.code, outcome.reports)
    assert_whole(outcome.run, exit_code=exit_code)


def test_a_handler_that_calls_the_one_before_decides_too(run_script):
    """As Lightning does: it takes note of the signal, passes it on, and ends the training in its own time."""
    outcome = run_script(
        program(
            """
stop, before = threading.Event(), signal.getsignal(signal.SIGTERM)


def handle(number, frame):
    stop.set()
    if callable(before):
        before(number, frame)


signal.signal(signal.SIGTERM, handle)
kill()
assert stop.wait(20)
record(range(10, 15))
report(went_on=True)
"""
        )
    ).ended_well()
    assert [{"went_on": True}] == outcome.reports
    assert_whole(outcome.run, range(15), exit_code=0)


def test_a_signal_that_is_ignored_stays_ignored(run_script):
    """`nohup` has SIGHUP ignored; neither is Python's own handler of SIGINT replaced."""
    outcome = run_script(
        program(
            """
report(
    ignored=signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
    pythons=signal.getsignal(signal.SIGINT) is signal.default_int_handler,
)
kill(signal.SIGHUP)
record(range(10, 15))
""",
            before="signal.signal(signal.SIGHUP, signal.SIG_IGN)\nrun = wandb.init()",
        )
    ).ended_well()
    assert [{"ignored": True, "pythons": True}] == outcome.reports
    assert_whole(outcome.run, range(15), exit_code=0)


def test_ctrl_c_loses_nothing(run_script):
    """Python makes an exception of it, and ends by the signal; W&B calls the run killed."""
    outcome = run_script(program("kill(signal.SIGINT)\ntime.sleep(20)\n"))
    assert -2 == outcome.code
    assert_whole(outcome.run)


def test_handlers_are_put_back_with_the_last_bridge(run_script):
    """And not touched at all where that was asked for."""
    outcome = run_script(
        program(
            """
def handlers():
    return [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP)]


own = lambda *_: None
during = handlers()
bridge.shutdown()
report(changed=[one != other for one, other in zip(during, before)], same=before == handlers())
report(wakeup=signal.set_wakeup_fd(-1))
exporter = WandbMetricExporter(run, signal_grace=0)
report(same=before == handlers())
""",
            before="""
before = [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP)]
run = wandb.init()
""",
        )
    ).ended_well()
    assert [{"changed": [True, True], "same": True}, {"wakeup": -1}, {"same": True}] == outcome.reports


def test_a_forked_child_ends_by_the_signal_at_once(run_script):
    """Data loaders are ended like this; the parent's run is not finished by a child."""
    outcome = run_script(
        program(
            """
import multiprocessing
import warnings

warnings.simplefilter("ignore", DeprecationWarning)


def never_ends(ready):
    ready.set()
    threading.Event().wait()


context = multiprocessing.get_context("fork")
ready = context.Event()
child = context.Process(target=never_ends, args=[ready])
child.start()
ready.wait(10)
before = time.monotonic()
child.terminate()
child.join(10)
report(code=child.exitcode, quick=time.monotonic() - before < 5)
record(range(10, 15))
kill()
time.sleep(20)
"""
        )
    )
    assert (-15, [{"code": -15, "quick": True}]) == (outcome.code, outcome.reports)
    assert_whole(outcome.run, range(15))


def test_a_main_thread_in_a_long_call_that_is_not_python_does_not_hold_up_the_writing(run_script):
    """A collective operation of a GPU library does not return for a minute: the handler cannot run."""
    outcome = run_script(
        program(
            """
import hashlib

threading.Timer(0.2, kill).start()
hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
"""
        ),
        timeout=30,
    )
    assert -15 == outcome.code
    assert_whole(outcome.run)


def test_a_signal_while_a_lock_is_held_that_a_callback_wants_loses_what_was_not_collected_alone(run_script):
    """The interrupted main thread holds it and never lets go of it; the rest is written all the same."""
    outcome = run_script(
        program(
            """
lock = threading.Lock()


def observe(_):
    with lock:
        return [Observation(1.0)]


metrics.get_meter("trainer").create_observable_gauge("observed", [observe])
bridge.force_flush()
bridge.log({"note": "at 10"}, step=10, source="trainer")
with lock:
    kill()
    time.sleep(20)
""",
            before="os.environ['OTEL_WANDB_SIGNAL_GRACE'] = '4'\nrun = wandb.init()",
        )
    )
    assert -15 == outcome.code
    assert {step: f"at {step}" for step in range(11)} == outcome.run.series("note")
    assert 255 == outcome.run.exit_code


def test_a_run_that_does_not_finish_is_given_up_when_the_grace_is_over(run_script):
    """A scheduler kills what does not end; the program ends before, by the signal that was sent."""
    outcome = run_script(
        program(
            """
run.log = lambda *args, **kwargs: threading.Event().wait()
kill()
time.sleep(20)
""",
            before="os.environ['OTEL_WANDB_SIGNAL_GRACE'] = '1'\nrun = wandb.init()",
        ),
        timeout=20,
    )
    assert -15 == outcome.code


def test_a_second_signal_ends_the_program_at_once(run_script):
    """For people who do not want to wait; not one that comes along with the first."""
    outcome = run_script(
        program(
            """
run.log = lambda *args, **kwargs: threading.Event().wait()
for delay in (0.1, 1.5):
    threading.Timer(delay, kill).start()
kill()
time.sleep(20)
"""
        ),
        timeout=15,
    )
    assert -15 == outcome.code


def test_signals_in_the_middle_of_recording_lose_nothing_and_lock_nothing(run_scripts):
    """Wherever the main thread is interrupted, with whatever lock in hand: what it said is there."""
    source = program(
        """
histogram = metrics.get_meter("trainer").create_histogram("size")
threading.Timer(float(os.path.basename(os.getcwd())) / 1e3, kill).start()
step = 10
while True:
    loss.set(step / 2, {"step": step})
    histogram.record(step, {"step": step})
    if step % 500 == 0:
        bridge.force_flush()
    os.write(1, b'{"recorded": %d}\\n' % step)
    step += 1
"""
    )
    for name, outcome in run_scripts({str(delay): source for delay in (20, 55, 90, 125)}).items():
        recorded = outcome.reports[-1]["recorded"]
        assert (name, -15, "") == (name, outcome.code, outcome.err)
        steps = outcome.run.steps()
        assert sorted(set(steps)) == steps, "in order, each once"
        assert set(range(recorded + 1)) <= outcome.run.series("loss").keys()
        assert set(range(10, recorded + 1)) <= outcome.run.series("size/count").keys()
