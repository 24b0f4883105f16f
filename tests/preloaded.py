"""Commands of ours in processes of their own, forked from one that has imported what they need.

To start Python with torch and Lightning takes four seconds of processor time; a fork takes next to none. The
module of a command is run as ``python -m`` runs it, with files, environment, working directory and session of
its own; processes that it starts in turn (ranks, jobs of a sweep) are forks as well, and its own children.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import math
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

NEEDED = (
    "ingradient_pl.cli.train",
    "ingradient_pl.cli.training_command",
    "ingradient_pl.cli.main",
    "ingradient_pl.cli.train_config",
    "ingradient_pl.lightning.datamodule",
    "ingradient_pl.lightning.module",
    "hydra._internal.hydra",
    "matplotlib.backends.backend_agg",
    "torch.utils.tensorboard",
)
STARTERS = ("pytorch_lightning.strategies.launchers.subprocess_script", "ingradient_pl.cli.sweep_job")
"""Modules that start commands of ours by ``subprocess.Popen``."""
LARGEST = 2**20
"""Bytes of a request."""


class Started:
    """A process, as ``subprocess.Popen`` has one."""

    def __init__(self, pid):
        self.pid, self.returncode, self._asking = pid, None, threading.Lock()

    def poll(self):
        with self._asking:
            if self.returncode is None:
                self.returncode = self._ask()
        return self.returncode

    def wait(self, timeout=None):
        end = math.inf if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() >= end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _ask(self):
        """Exit code, or None where it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


class Command(Started):
    """A command that was started by a test.

    Args:
        module: What ``python -m`` would run.
        arguments: Of its command line.
        stdout: File for its output.
        stderr: And for its errors.
        env: Its environment; that of the test where it is left out.
        cwd: Its working directory, likewise.
        start_new_session: Whether it leads a session of its own.
        spares: How many commands it will start itself, how many each of those, and so on.
    """

    def __init__(
        self, module, *arguments, stdout, stderr, env=None, cwd=None, start_new_session=False, spares=()
    ):
        told = {
            "module": module,
            "arguments": [*map(str, arguments)],
            "env": dict(os.environ if env is None else env),
            "cwd": str(Path.cwd() if cwd is None else cwd),
            "session": start_new_session,
            "spares": spares,
        }
        self._keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            files = [stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(_server(), [json.dumps(told).encode()], files)
        super().__init__(int(self._keeper.recv(LARGEST)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()

    def _ask(self):
        if not select.select([self._keeper], [], [], 0)[0]:
            return None
        with self._keeper:
            return int(self._keeper.recv(LARGEST))


def run(module, *arguments, timeout=300, check=False, **how):
    """Run a command to its end, as ``subprocess.run`` does; what it said is text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with Command(module, *arguments, stdout=out, stderr=err, **how) as process:
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    done = subprocess.CompletedProcess([module, *map(str, arguments)], code, *said)
    if check:
        done.check_returncode()
    return done


def run_helper(module, *arguments):
    """Run a module beside the tests where nothing checks shapes."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = run(module, *arguments, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
    assert done.returncode == 0, done.stdout + done.stderr


def run_ranks(module, folder):
    """Call ``rank_of_two`` of a test's module in two processes, each with its rank and one folder."""
    _server()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda rank: run_helper("ranks", module, rank, folder), range(2)))


@functools.cache
def _server():
    """What forks, started when it is first needed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, __file__, str(number)],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(_end, process, ours)
    return ours


def _end(process, door):
    """End the one that forks, whoever inherited the socket, and whatever a test has left running."""
    door.shutdown(socket.SHUT_RDWR)
    door.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve(number):
    """Fork for every request, until nobody can make one."""
    gc.disable()
    for name in NEEDED:
        importlib.import_module(name)
    importlib.import_module("hydra.core.plugins").Plugins.instance()
    gc.freeze()  # or each fork would copy all of it, to look for garbage
    gc.enable()
    with socket.socket(fileno=number) as door:
        while True:
            message, files, *_ = socket.recv_fds(door, LARGEST, 3)
            _reap(0 if not message else os.WNOHANG)
            if not message:
                return
            if os.fork() == 0:
                break
            _close(files)
    _keep(message, files)


def _keep(message, files):
    """Fork the process of a command; tell its number, and how it ended."""
    told = socket.socket(fileno=files.pop())
    pid = os.fork()
    if pid == 0:
        told.close()
        _become(files, **json.loads(message))
    _close(files)
    told.send(str(pid).encode())
    with contextlib.suppress(BrokenPipeError):  # nobody asked
        told.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def _reap(how):
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, how)[0]:
            pass


def _close(files):
    for file in files:
        os.close(file)


def _become(files, module, arguments, env, cwd, session, spares):
    """Be the process of a command, from its first line on; does not return."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, file in enumerate([nothing, *files]):
        os.dup2(file, target)
        os.close(file)
    if session:
        os.setsid()
    os.chdir(cwd)
    former = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [folder for folder in sys.path[1:] if folder not in former]
    os.environ.clear()
    os.environ.update(env)
    sys.path[:] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *others]
    tempfile.tempdir = None
    _look_anew(env)
    _hand_out(spares)
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # it is run as the main module, not the one that was imported
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


def _look_anew(env):
    """Do what was done at imports, by the environment, and draws."""
    import torch
    from pytorch_lightning.utilities import rank_zero_only

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    random.seed()
    rank_zero_only.rank = int(env.get("RANK", env.get("LOCAL_RANK", 0)))
    if "LOCAL_RANK" in env:
        Path("/proc/self/comm").write_text(f"rank {env['LOCAL_RANK']}")
    if "OMP_NUM_THREADS" in env:
        torch.set_num_threads(int(env["OMP_NUM_THREADS"]))


def _hand_out(spares):
    """Fork those that become what this process starts, while it is as it was at the first."""
    waiting = []
    for _ in range(spares[0] if spares else 0):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            for door in [ours, *(door for _, door in waiting)]:
                door.close()
            message, files, *_ = socket.recv_fds(theirs, LARGEST, 2)
            theirs.close()
            if not message:
                os._exit(0)
            _become(files, **json.loads(message), session=False, spares=spares[1:])
        theirs.close()
        waiting.append((pid, ours))

    def start(line, env=None, cwd=None):
        if not waiting or line[:2] != [sys.executable, "-m"]:
            return subprocess.Popen(line, env=env, cwd=cwd)
        pid, door = waiting.pop(0)
        told = {"module": line[2], "arguments": line[3:], "env": dict(os.environ if env is None else env)}
        with door:
            socket.send_fds(door, [json.dumps({**told, "cwd": str(cwd or Path.cwd())}).encode()], [1, 2])
        return Started(pid)

    for name in STARTERS:
        importlib.import_module(name).subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": start})


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
