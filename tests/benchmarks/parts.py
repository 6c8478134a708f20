"""Parts that fail in every way, for tests of what runs parts."""

import os
import signal
import subprocess
import sys
import time

from benchmarks.gpu_parts.record import Numbers, Recorder


def good(recorder: Recorder) -> None:
    recorder.attempt("first", lambda: {"images/s": 12.5, "as expected": True})


def failing(recorder: Recorder) -> None:
    recorder.attempt("before", lambda: {"value": 1})
    recorder.attempt("wrong", lambda: {"value": 1 / 0})
    recorder.attempt("too large", too_large)
    recorder.attempt("after", lambda: {"value": 2})


def too_large() -> Numbers:
    raise MemoryError("no room for 512 images")


def endless() -> Numbers:
    time.sleep(600)
    return {}


def fatal() -> Numbers:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def broken(recorder: Recorder) -> None:
    raise RuntimeError("it cannot even begin")


def hanging(recorder: Recorder) -> None:
    recorder.attempt("before", lambda: {"value": 1})
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(sleeper)
    recorder.attempt("process", lambda: {"value": process.pid})
    recorder.attempt("endless", endless)
    recorder.attempt("never", lambda: {"value": 2})


def crashing(recorder: Recorder) -> None:
    recorder.attempt("before", lambda: {"value": 1})
    recorder.attempt("fatal", fatal)
    recorder.attempt("after", lambda: {"value": 2})


def slow(recorder: Recorder) -> None:
    recorder.attempt("short", lambda: {"value": 1})
    recorder.attempt("long", lambda: {"value": 2}, seconds=1e6)
