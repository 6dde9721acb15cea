"""Children that are forked: what they begin with, and what is known of their end."""

import signal
import subprocess
import sys
import textwrap

import pytest

from recollect.jobs.pipe import Forked

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux")


def run(script: str) -> list[str]:
    """Words that it prints in a process of one thread, as the indexer is when it forks."""
    begin = "import os, socket\nfrom recollect.jobs.pipe import Pipe, fork\n"
    command = [sys.executable, "-", "called-indexer", "7"]
    done = subprocess.run(
        command, input=begin + textwrap.dedent(script), capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def test_a_forked_child_keeps_nothing_but_its_end_of_the_pipe() -> None:
    said = run("""
        held, other = socket.socketpair()
        def child(connection):
            pipe = Pipe(connection)
            pipe.send((pipe.receive() + 1, os.getppid(), len(os.listdir("/dev/fd"))))
        process, pipe = fork(child, (b"called-indexer", b"called-worker"))
        held.close()
        assert other.recv(1) == b""  # the child has closed its copy
        pipe.send(41)
        answer, parent, files = pipe.receive()
        print(answer, parent == os.getpid(), files, process.wait())
    """)
    assert said == ["42", "True", "5", "0"]  # three, the pipe, and the list itself


def test_the_system_shows_what_a_forked_child_is() -> None:
    said = run("""
        def child(connection):
            Pipe(connection).send(open("/proc/self/cmdline", "rb").read())
        process, pipe = fork(child, (b"called-indexer", b"called-worker"))
        for line in pipe.receive(), open("/proc/self/cmdline", "rb").read():
            print(line.decode().replace("\\0", " "))
    """)
    assert said == [sys.executable, "-", "called-worker", "7", sys.executable, "-", "called-indexer", "7"]


def test_a_failure_of_a_forked_child_ends_it() -> None:
    said = run("""
        def child(connection):
            raise ValueError("of the child")
        process, pipe = fork(child, (b"-", b"-"))
        try:
            pipe.receive()
        except EOFError:
            print("gone", process.wait())
    """)
    assert said == ["gone", "1"]


def test_the_end_of_a_forked_child_is_told_as_of_any_other() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child = Forked(process.pid)
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.02)
    child.kill()
    assert child.wait(timeout=20) == -signal.SIGKILL
    assert child.poll() == -signal.SIGKILL
    child.kill()  # of which nothing comes
    process.communicate()
