"""A process of its own: runs programs of log calls against real offline runs, for comparison with the fake.

Read from stdin, pickled: a list of programs, each a list of (data, step, commit). Written to stdout, pickled:
for each the run directory, and for each call the step after it or the name of what it raised.
"""

import os
import pickle
import sys

import wandb


def outcome_of(run, call):
    data, step, commit = call
    try:
        run.log(data, step=step, commit=commit)
        return run.step
    except Exception as error:
        return type(error).__name__


def run_program(program, directory):
    run = wandb.init(project="fake", dir=directory)
    outcomes = [outcome_of(run, call) for call in program]
    run_directory = os.path.dirname(run.dir)
    run.finish()
    return run_directory, outcomes


if __name__ == "__main__":
    results = [run_program(program, sys.argv[1]) for program in pickle.load(sys.stdin.buffer)]
    sys.stdout.buffer.write(pickle.dumps(results))
