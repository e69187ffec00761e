"""`WANDB_STEP_FIX_ENABLED`: what it does to a Python, and to a program that imports `wandb` or does not.

It does not matter here what is patched, so a `wandb` of three lines stands in for the real one, which takes
a second to import; `test_switched_on.py` has the real one.
"""

import pkgutil
import sys
import textwrap

import pytest

STAND_INS = '''
import pathlib, sys, types

def patch_wandb_log(**options):
    print("patched")

def stand_in(name, **attributes):
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(attributes)

stand_in("otel_wandb_bridge.wandb_step_fix", patch_wandb_log=patch_wandb_log, __path__=[])
stand_in("otel_wandb_bridge.wandb_step_fix.environment", options_in_environment=dict)

place = pathlib.Path("stand-ins").absolute()
(place / "wandb/sdk").mkdir(parents=True, exist_ok=True)
(place / "wandb/sdk/__init__.py").write_text("")
(place / "wandb/__init__.py").write_text("""
from . import sdk
def log(data): ...
""")
sys.dont_write_bytecode = True
sys.path.insert(0, str(place))
'''


@pytest.fixture
def program(python):
    """Run code beside the stand-ins."""

    def run(code, **more):
        return python(STAND_INS + textwrap.dedent(code), **more)

    return run


@pytest.mark.parametrize("value", ["true", "1", "yes", "on", "TRUE", "Yes", "oN", " true "])
def test_each_word_for_yes_patches_once(program, value):
    """In any case; once, although a virtual environment reads its start-up files twice."""
    assert ["patched"] == program("import wandb", on=value).ended_well().lines


@pytest.mark.parametrize("value", [None, "", " ", "false", "0", "no", "off", "False", "OFF"])
def test_each_word_for_no_does_nothing(program, value):
    """Nor does no word at all: nobody of ours looks for modules."""
    look = 'print([each for each in sys.meta_path if "otel_wandb" in repr(each)])'
    assert ["[]", "[]"] == program(f"{look}; import wandb; {look}", on=value).ended_well().lines


def test_any_other_word_is_said_when_wandb_is_imported(program):
    """In one line, which names the words that there are; the import goes on."""
    ended = program("import wandb; print(wandb.log.__name__)", on="maybe")
    assert (0, ["log"]) == (ended.code, ended.lines)
    (line,) = ended.err.splitlines()
    assert line.startswith(
        "wandb_step_fix: WANDB_STEP_FIX_ENABLED='maybe' is none of true, 1, yes, on, false"
    )


def test_any_other_word_is_not_said_in_a_program_that_does_not_import_wandb(python):
    """It is none of its business."""
    python("print(1)", on="maybe").ended_well()


@pytest.mark.parametrize(
    "how",
    [
        "from wandb import log",
        "import wandb.sdk",
        "from wandb.sdk import __path__",
        "__import__('wandb')",
        "import importlib; importlib.import_module('wandb')",
        "import importlib; importlib.import_module('wandb.sdk')",
        "import pkgutil; pkgutil.resolve_name('wandb:log')",
    ],
)
def test_each_way_to_import_is_seen(program, how):
    """By a statement, by a function, by way of a part of it."""
    assert ["patched"] == program(how, on="1").ended_well().lines


def test_who_only_asks_whether_wandb_is_there_does_not_use_up_the_switch(program):
    """Transformers and accelerate ask before they import it."""
    code = """
    import importlib.util
    print(importlib.util.find_spec("wandb").name, importlib.util.find_spec("wandb").origin)
    print("wandb" in sys.modules)
    import wandb
    """
    ended = program(code, on="1").ended_well()
    assert ended.lines[0].startswith("wandb /")
    assert ["False", "patched"] == ended.lines[1:]


def test_who_asks_gets_what_there_is_without_the_switch(program):
    """`spec.loader.get_filename`, and so on: tools read a package without importing it."""
    code = """
    import importlib.util
    spec = importlib.util.find_spec("wandb")
    print(spec.loader.get_filename("wandb"), len(spec.loader.get_source("wandb")))
    print(spec.loader.is_package("wandb"), spec.origin, spec.submodule_search_locations)
    """
    without = program(code).ended_well()
    assert without == program(code, on="1")


def test_an_import_in_a_thread_is_seen(program):
    """As in any other."""
    code = """
    import threading
    thread = threading.Thread(target=__import__, args=["wandb"])
    thread.start()
    thread.join()
    """
    assert ["patched"] == program(code, on="1").ended_well().lines


def test_nobody_sees_wandb_before_it_is_patched(program):
    """Of several threads that import it at once, each gets it patched, and it is patched once."""
    code = """
    import threading
    patched, seen, start = [], [], threading.Barrier(8)
    sys.modules["otel_wandb_bridge.wandb_step_fix"].patch_wandb_log = lambda **options: patched.append(1)

    def work():
        start.wait()
        import wandb
        seen.append(len(patched))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(patched, seen)
    """
    assert f"{[1]} {[1] * 8}" == program(code, on="1").ended_well().out.strip()


def test_wandb_looks_as_it_does_without_the_switch(program):
    """Its spec, its loader, its source; and afterwards nobody of ours looks for modules any more."""
    code = """
    import inspect, importlib.resources
    import wandb
    spec = wandb.__spec__
    print(type(spec.loader), wandb.__loader__ is spec.loader, spec.origin, spec.cached, spec.parent)
    print(wandb.__file__, wandb.__path__, wandb.__package__, inspect.getsource(wandb))
    print(importlib.resources.files("wandb"), sorted(vars(wandb)), [type(each) for each in sys.meta_path])
    """
    without = program(code).ended_well()
    assert f"patched\n{without.out}" == program(code, on="1").ended_well().out


def test_a_reload_is_wandbs_own(program):
    """It goes past us."""
    code = "import importlib, wandb; print(importlib.reload(wandb) is wandb)"
    assert ["patched", "True"] == program(code, on="1").ended_well().lines


def test_an_import_that_fails_halfway_fails_as_it_would(program):
    """With its own error; and should it succeed later, it is patched then."""
    code = """
    whole = (place / "wandb/__init__.py").read_text()
    (place / "wandb/__init__.py").write_text("raise ImportError('half')")
    for _ in range(2):
        try:
            import wandb
        except ImportError as error:
            print(error, "wandb" in sys.modules)
    (place / "wandb/__init__.py").write_text(whole)
    import wandb
    """
    assert ["half False", "half False", "patched"] == program(code, on="1").ended_well().lines


def test_where_wandb_is_not_installed_the_error_is_pythons_own(program):
    """And should it be installed later, as in a notebook, it is patched then."""
    code = """
    import importlib.util, os
    everything = sys.path
    # A directory of runs has that name, too.
    sys.path = [each for each in everything if not os.path.isdir(os.path.join(each, "wandb"))]
    sys.path_importer_cache.clear()
    for _ in range(2):
        print(importlib.util.find_spec("wandb"))
        try:
            import wandb
        except ModuleNotFoundError as error:
            print(error, error.name)
    sys.path = everything
    import wandb
    """
    missing = ["None", "No module named 'wandb' wandb"]
    assert [*missing, *missing, "patched"] == program(code, on="1").ended_well().lines


def test_a_folder_of_runs_is_not_patched(program):
    """Without W&B installed, `./wandb` is a package without a file."""
    code = """
    pathlib.Path("wandb").mkdir()
    sys.path = [each for each in sys.path if "-packages" not in each and each != str(place)]
    import wandb
    print(wandb.__file__, "wandb" in sys.modules)
    """
    assert ["None True"] == program(code, on="1").ended_well().lines


MODULES = 'print(*sorted(m for m in sys.modules if m.split(".")[0] in {"wandb", "opentelemetry", OURS}))'
MODULES = f"import sys; OURS = 'otel_wandb_bridge'; {MODULES}"


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="a .start file is always called (PEP 829)")
def test_without_the_switch_nothing_is_imported(python):
    """Of W&B, of OpenTelemetry, of ours."""
    assert "\n" == python(MODULES).ended_well().out


@pytest.mark.parametrize("before", ["", "import importlib.util; importlib.util.find_spec('wandb');"])
def test_with_the_switch_a_program_without_wandb_imports_two_small_modules(python, before):
    """Neither W&B nor OpenTelemetry, also where it asks whether W&B is there."""
    ours = "otel_wandb_bridge otel_wandb_bridge.autostart"
    assert [ours] == python(f"{before} {MODULES}", on="1").ended_well().lines


def test_with_the_switch_no_slow_module_is_imported(python):
    """Each of these takes longer than all that is done at start-up."""
    code = "import sys; print({'typing', 'tempfile', 'importlib.resources', 'logging'} & {*sys.modules})"
    without = python(code).ended_well()
    assert without == python(code, on="1")


@pytest.mark.parametrize(("option", "said"), [("-S", []), ("-I", ["patched"]), ("-E", ["patched"])])
def test_the_options_of_python_mean_what_they_say(program, option, said):
    """No site, no switch; it is no variable of Python's own, so isolation does not hide it."""
    assert said == program("import wandb", on="1", args=[option]).ended_well().lines


def test_a_part_of_ours_that_cannot_be_imported_costs_one_line(program):
    """An installation may be broken: the import of `wandb` goes on."""
    code = """
    sys.modules["otel_wandb_bridge.wandb_step_fix"] = None
    import wandb
    print(wandb.log.__name__)
    """
    ended = program(code, on="1")
    assert (0, ["log"]) == (ended.code, ended.lines)
    (line,) = ended.err.splitlines()
    assert line.startswith("wandb_step_fix: wandb.log is not patched: ")


def test_the_start_file_names_a_function_that_is_there(repository):
    """Python 3.15 and later resolve it as `pkgutil` does, and call it (PEP 829)."""
    (line,) = (repository / "startup/otel_wandb_bridge_start.start").read_text().split()
    start = pkgutil.resolve_name(line)
    assert "otel_wandb_bridge.autostart" == start.__module__
    assert start() is None


def test_both_start_up_files_say_the_same(repository):
    """They have one name, as PEP 829 wants it, and the older one is a single line that Python executes."""
    pth, start = sorted((repository / "startup").iterdir())
    assert ".pth .start" == f"{pth.suffix} {start.suffix}"
    assert start.stem == pth.stem
    (line,) = pth.read_text().splitlines()
    assert line.startswith("import ")
    module, _, function = start.read_text().strip().partition(":")
    assert module in line
    assert f"{function}()" in line
