"""A Python that has imported already what the programs of tests import, and forks for each of them.

    python warm_start.py serve SOCKET MODULE...     until it is ended
    python warm_start.py run SOCKET program.py      as `python program.py`, without the imports

To import W&B and OpenTelemetry takes longer than most of these programs run. Each still has a process of its
own, which begins at its first line, and ends, by itself or by a signal, as any interpreter does. Programs for
which it matters what is imported, or in which environment, have to be started the ordinary way.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import types

STREAMS = 3


def serve(path, modules):
    """Fork for each program that is asked for. Returns in the child, with what it is to run."""
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    # One that W&B makes when it is imported would be shared, and be gone with the first program that ends.
    places = [each for each in gc.get_objects() if isinstance(each, tempfile.TemporaryDirectory)]
    for each in places:
        each.cleanup()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        os.write(1, b"ready\n")
        while True:
            asked, _ = listener.accept()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not os.fork():
                listener.close()
                program = watched(asked)
                for each in places:
                    each.__init__()
                return program
            asked.close()


def watched(asked):
    """Fork for the program, tell how it has ended, and end it when nobody wants to know any more."""
    message, descriptors, *_ = socket.recv_fds(asked, 1 << 20, STREAMS)
    while not message.endswith(b"\n"):
        message += asked.recv(1 << 20)
    request = json.loads(message)
    program = os.fork()
    if program:
        for each in descriptors:
            os.close(each)

        def end():
            if not asked.recv(1):
                os.kill(program, signal.SIGKILL)

        threading.Thread(target=end, daemon=True).start()
        _, status = os.waitpid(program, 0)
        with contextlib.suppress(OSError):
            asked.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    asked.close()
    # Whoever started the tests in the background, or under nohup, has these ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    return request["program"]


def run(path, program):
    """Have a program run, and end as it ends."""
    request = {"program": program, "directory": os.getcwd(), "environment": {**os.environ}}
    message = json.dumps(request).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        streams = array.array("i", range(STREAMS))
        sent = server.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        server.sendall(message[sent:])
        # It is the program that holds these now; whoever reads them sees the end of them when it ends.
        for stream in range(STREAMS):
            os.close(stream)
        told = b""
        while more := server.recv(100):
            told += more
    code = int(told or b"1")
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    command, place, *arguments = sys.argv[1:]
    if command == "run":
        run(place, *arguments)
    program = os.path.abspath(serve(place, arguments))
    sys.argv = [program]
    sys.path[0] = os.path.dirname(program)
    main = types.ModuleType("__main__")
    main.__file__ = program
    sys.modules["__main__"] = main
    with open(program, "rb") as source:
        code = compile(source.read(), program, "exec")
    exec(code, main.__dict__)
