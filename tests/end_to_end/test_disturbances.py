"""Recording that is disturbed: by other threads, tasks, signals, finalizers, log handlers and clocks."""

TRAINING = """
import asyncio
import gc
import logging
import signal
import weakref

run = wandb.init(id="abc")
bridge = configure(run, export_interval_millis=1000)
meter = metrics.get_meter("trainer")
loss, size = meter.create_gauge("loss"), meter.create_histogram("size")


def report_stats():
    stats = bridge.stats()
    report(conserved=stats.is_conserved(), lost=stats.shed + stats.rejected + stats.pending + stats.dropped)


"""
SHIFTED = """
real, real_ns, shift = time.time, time.time_ns, [0]
time.time = lambda: real() - shift[0]
time.time_ns = lambda: real_ns() - shift[0] * 10**9
"""
KEPT = {"conserved": True, "lost": 0}


def test_hundreds_of_threads_lose_nothing(run_script):
    """Each with a source of its own, all at once, while flushes go on."""
    outcome = run_script(
        TRAINING
        + """
def work(number):
    for step in range(20):
        with training_step(step):
            size.record(number)
        bridge.log({f"value/{number}": step}, step=step, source=f"worker {number}")


threads = [threading.Thread(target=work, args=[number]) for number in range(200)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
run.finish()
report_stats()
"""
    ).ended_well()
    assert [KEPT] == outcome.reports
    for number in range(200):
        key = f"value/{number}"
        assert list(range(20)) == sorted(row[key] for row in outcome.rows if key in row)
        assert all(row[key] == row["global_step"] for row in outcome.rows if key in row)
    assert 4000 == sum(row.get("size/count", 0) for row in outcome.rows)


def test_tasks_keep_their_own_steps(run_script):
    """A hundred of them interleave in one thread; what each awaits, and starts, is at its step."""
    outcome = run_script(
        TRAINING
        + """
async def helper(number):
    await asyncio.sleep(0)
    bridge.log({f"helped/{number}": number}, source=f"task {number}")


async def work(number):
    with training_step(number):
        await asyncio.sleep(0)
        size.record(number)
        await asyncio.gather(helper(number), asyncio.create_task(helper(number + 1000)))
        await asyncio.to_thread(size.record, number)
        bridge.log({f"value/{number}": number}, source=f"task {number}")


async def main():
    await asyncio.gather(*map(work, range(100)))


asyncio.run(main())
run.finish()
report_stats()
"""
    ).ended_well()
    assert [KEPT] == outcome.reports
    for number in range(100):
        assert {number: number} == outcome.run.series(f"value/{number}")
        assert {number: number} == outcome.run.series(f"helped/{number}")
        assert {number: number + 1000} == outcome.run.series(f"helped/{number + 1000}")
    assert 200 == sum(row.get("size/count", 0) for row in outcome.rows)


def test_signal_handlers_that_record_lock_nothing_and_lose_nothing(run_script):
    """A profiler's timer fires in the middle of recording, of flushing and of `run.log`, and logs."""
    outcome = run_script(
        TRAINING
        + """
ticks = iter(range(1_000_000))


def tick(*_):
    bridge.log({"tick": next(ticks)}, step=0, source="profiler")


signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for step in range(3_000):
    loss.set(step / 2, {"step": step})
    bridge.log({"note": f"at {step}"}, step=step, source="trainer")
    if step % 500 == 0:
        bridge.force_flush()
signal.setitimer(signal.ITIMER_REAL, 0)
run.finish()
stats = bridge.stats()
report_stats()
report(ticks=next(ticks))
"""
    ).ended_well()
    assert KEPT == outcome.reports[0]
    assert {step: step / 2 for step in range(3_000)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(3_000)} == outcome.run.series("note")
    assert 10 < outcome.reports[1]["ticks"]


def test_finalizers_that_record_lock_nothing_and_lose_nothing(run_script):
    """The garbage collector runs them in the middle of anything, a measurement of the same instrument too."""
    outcome = run_script(
        TRAINING
        + """
class Noisy:
    def __init__(self):
        self.me = self

    def __del__(self):
        bridge.log({"gone": 1}, step=0, source="finalizer")
        gone.append(1)


gone = []
gc.set_threshold(5, 2, 2)
for step in range(2_000):
    Noisy()
    loss.set(step / 2, {"step": step})
    bridge.log({"note": f"at {step}"}, step=step, source="trainer")
wait_until(lambda: gc.collect() >= 0 and len(gone) == 2_000)  # it does nothing while another thread does it
run.finish()
report_stats()
"""
    ).ended_well()
    assert KEPT == outcome.reports[0]
    assert {step: step / 2 for step in range(2_000)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(2_000)} == outcome.run.series("note")


def test_log_handlers_that_record_lock_nothing(run_script):
    """Each line of ours, and of W&B and OpenTelemetry, counts up a metric of the same bridge."""
    outcome = run_script(
        TRAINING
        + """
lines = meter.create_counter("lines")


class Counting(logging.Handler):
    def emit(self, record):
        lines.add(1, {"step": 0})
        bridge.log({"line": record.getMessage()[:20]}, step=0, source="log")


logging.getLogger().addHandler(Counting())
logging.getLogger().setLevel(logging.INFO)
for step in range(100):
    loss.set(step / 2, {"step": step})
    bridge.log({"late": step}, step=max(0, step - 50), source="trainer")  # is said
    bridge.log({"bad": object()}, step=step, source="trainer")  # is said
    bridge.log({"note": f"at {step}"}, step=step, source="trainer")
    if step % 30 == 0:
        bridge.force_flush()
run.finish()
report(conserved=bridge.stats().is_conserved())
"""
    )
    assert (0, [{"conserved": True}]) == (outcome.code, outcome.reports)
    assert {step: step / 2 for step in range(100)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(100)} == outcome.run.series("note")


def test_a_wall_clock_that_is_set_back_has_no_effect(run_script):
    """By an hour, in the middle of the training, as by a time server; and forth again."""
    outcome = run_script(
        SHIFTED
        + TRAINING
        + """
import opentelemetry.sdk.metrics._internal.instrument as instrument

instrument.time_ns = time.time_ns  # imported by name
for step in range(300):
    shift[0] = {100: 3_600, 200: 0}.get(step, shift[0])
    loss.set(step / 2, {"step": step})
    bridge.log({"note": f"at {step}"}, step=step, source="trainer")
    if step % 40 == 39:
        bridge.force_flush()
        report_stats()
run.finish()
report_stats()
""",
    ).ended_well()
    assert [KEPT] * 8 == outcome.reports
    assert {step: step / 2 for step in range(300)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(300)} == outcome.run.series("note")
    assert list(range(300)) == outcome.run.steps() == [row["_step"] for row in outcome.rows]


def test_a_run_log_that_takes_ten_seconds_does_not_disturb_the_training(run_script):
    """W&B is slow once; meanwhile training goes on at its pace, and all of it is caught up with, in order."""
    outcome = run_script(
        TRAINING
        + """
log, may_go_on, is_slow = run.log, threading.Event(), threading.Event()


def slow(*args, **kwargs):
    is_slow.set()
    may_go_on.wait(10)
    return log(*args, **kwargs)


run.log = slow
slowest = 0.0
for step in range(2_000):
    before = time.perf_counter()
    loss.set(step / 2, {"step": step})
    bridge.log({"note": f"at {step}"}, step=step, source="trainer")
    slowest = max(slowest, time.perf_counter() - before)
    if step == 100:
        is_slow.wait(20)
may_go_on.set()
report(slowest=slowest, rows=bridge.stats().rows)
run.finish()
report_stats()
"""
    ).ended_well()
    assert outcome.reports[0]["slowest"] < 2.0
    assert KEPT == outcome.reports[1]
    assert list(range(2_000)) == outcome.run.steps()
    assert {step: step / 2 for step in range(2_000)} == outcome.run.series("loss")


def test_a_run_log_that_never_returns_does_not_disturb_the_training(run_script):
    """What piles up is bounded and counted, and what is recorded costs what it did."""
    outcome = run_script(
        """
os.environ["OTEL_WANDB_MAX_PENDING"] = "1000"
"""
        + TRAINING
        + """
is_stuck = threading.Event()
run.log = lambda *args, **kwargs: (is_stuck.set(), threading.Event().wait())
for step in range(1_200_000 // 100):
    bridge.log(dict.fromkeys(map(str, range(100)), step), step=step, source="trainer")
loss.set(0.5, {"step": step})
is_stuck.wait(30)
stats = bridge.stats()
report(recorded=stats.recorded, conserved=stats.is_conserved())
sys.stdout.flush()
os._exit(0)
"""
    )
    assert (0, [{"recorded": 1_200_001, "conserved": True}]) == (outcome.code, outcome.reports)


def test_threads_that_record_while_the_interpreter_goes_down_make_no_noise(run_script):
    """Daemons: instruments, calls, observables and new bridges, until the last moment."""
    outcome = run_script(
        TRAINING
        + """
other = meter.create_up_down_counter("other")


def go_on(number, work):
    while True:
        work()
        turns[number] += 1
        time.sleep(1e-5)  # its turn to the others


works = [
    lambda: loss.set(1.0, {"step": 3}),
    lambda: bridge.log({"note": "x"}, step=3, source="daemon"),
    lambda: bridge.stats(),
    lambda: bridge.force_flush(),
    lambda: other.add(1.0, {"step": 3}),
]
turns = [0] * len(works)
for each in enumerate(works):
    threading.Thread(target=go_on, args=each, daemon=True).start()
wait_until(lambda: min(turns) > 20)
"""
    )
    assert 0 == outcome.code
    # That it comes too late is said; a traceback or a fatal error of the interpreter is not.
    assert {"finished", "shutdown"} >= {line.partition(":")[0] for line in outcome.err.splitlines()}


def test_a_subinterpreter_beside_the_bridge_makes_no_noise(run_script):
    """It imports the package or fails to (its dependencies may not allow it); the run is whole either way."""
    outcome = run_script(
        TRAINING
        + """
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
other = interpreters.create()
try:
    interpreters.run_string(other, "import otel_wandb_bridge.runtime.signals, otel_wandb_bridge.runtime.exit")
except Exception as error:
    report(refused=str(error))
interpreters.destroy(other)
for step in range(10):
    loss.set(step / 2, {"step": step})
"""
    )
    assert (0, "") == (outcome.code, outcome.err)
    assert list(range(10)) == outcome.run.steps()
