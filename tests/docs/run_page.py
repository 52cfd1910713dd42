"""Run the examples of one page in the working directory: `python -m tests.docs.run_page PAGE`.

One process per page, as a reader has one interpreter and one folder open: the blocks share the namespace of
`__main__`, the files they write can be imported, and a traceback names the line of the page. Exits with 77 when a page
needs a server that is not installed here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import doctest
import re
import shlex
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

from bench.rabbitmq_server import RabbitMissing, RabbitServer
from bench.redis_server import RedisMissing, RedisServer
from tests.docs.examples import Example, examples

_OUTPUT_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 40.0  # a warm stop takes at most `worker_stop_grace`, 30 s
_REDIS_FOLDER = Path(".redis")
_RABBITMQ_FOLDER = Path(".rabbitmq")

SERVER_MISSING = 77
"""Exit code of a page whose server is not installed."""


class PageFailed(Exception):
    """An example did not do what the page says; the text says which and how."""


def run_page(page: Path) -> None:
    """Run a page's examples from top to bottom, then stop the workers and the server it started."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main  # where pickle and inspect look for what the examples define
    started: set[str] = set()
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as running:
        for example in examples(page):
            if "redis" in example.directives:
                ports["6379"] = running.enter_context(redis(shlex.split(example.directives["redis"])))
            if "rabbitmq" in example.directives:
                ports["5672"] = running.enter_context(rabbitmq())
            example = on_ports(example, ports)
            if "worker" in example.directives:
                app = example.directives["worker"] or "tasks"
                if app not in started:
                    running.enter_context(worker(app))
                    started.add(app)
            run_example(example, page, main)


def run_example(example: Example, page: Path, main: types.ModuleType) -> None:
    where = f"{page}:{example.lineno}"
    match example:
        case Example(directives={"file": name}):
            write_file(Path(name), example.text, where)
        case Example(language="python"):
            run_python(example, page, main)
        case Example(language="pycon"):
            run_session(example, page, main)
        case Example(language="console"):
            run_commands(example.text, where)
        case _:
            raise PageFailed(f"{where}: a block of {example.language or 'no language'} cannot be run, only written")


@contextlib.contextmanager
def redis(options: list[str]) -> Iterator[int]:
    """Have a Redis of the page's own running; yield its port."""
    _REDIS_FOLDER.mkdir()
    server = RedisServer(_REDIS_FOLDER.absolute(), *options)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@contextlib.contextmanager
def rabbitmq() -> Iterator[int]:
    """Have a RabbitMQ of the page's own running; yield its port."""
    _RABBITMQ_FOLDER.mkdir()
    server = RabbitServer(_RABBITMQ_FOLDER.absolute())
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def on_ports(example: Example, ports: dict[str, int]) -> Example:
    """Have an example mean the page's own servers where it says where they usually are."""
    text = example.text
    for usual, port in ports.items():
        text = text.replace(f"localhost:{usual}", f"localhost:{port}")
    if "6379" in ports:
        text = text.replace("redis-cli ", f"redis-cli -p {ports['6379']} ")
    return dataclasses.replace(example, text=text)


def write_file(path: Path, text: str, where: str) -> None:
    if path.is_absolute() or ".." in path.parts:
        raise PageFailed(f"{where}: {path} does not lie below the page's folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run_python(example: Example, page: Path, main: types.ModuleType) -> None:
    # The empty lines make the line numbers of tracebacks and of inspect.getsource() those of the page.
    source = "\n" * (example.lineno - 1) + example.text
    exec(compile(source, str(page), "exec"), main.__dict__)


def run_session(example: Example, page: Path, main: types.ModuleType) -> None:
    """Type what stands behind `>>>`; the output must be the one shown, where `...` stands for anything."""
    parser = doctest.DocTestParser()
    session = parser.get_doctest(example.text, main.__dict__, page.name, str(page), example.lineno - 1)
    report: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=_OUTPUT_FLAGS).run(session, out=report.append, clear_globs=False)
    if report:
        raise PageFailed("".join(report))
    main.__dict__.update(session.globs)


def run_commands(text: str, where: str) -> None:
    """Run what stands behind each `$`; it must succeed, and print what is shown below it, if anything is."""
    for prompt in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = prompt.partition("\n")
        done = subprocess.run(
            command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise PageFailed(f"{where}: `{command}` exited with {done.returncode}\n{done.stdout}")
        if expected.strip() and not doctest.OutputChecker().check_output(expected, done.stdout, _OUTPUT_FLAGS):
            raise PageFailed(f"{where}: `{command}` printed\n{done.stdout}instead of\n{expected}")


@contextlib.contextmanager
def worker(app: str) -> Iterator[None]:
    """Have a worker for `app` running; what it printed is shown when the page fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celeriac", "-A", app, "worker", "-c", "2", "-l", "INFO"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed: list[str] = []
    ready = threading.Event()
    reader = threading.Thread(target=read_output, args=(process, printed, ready))
    reader.start()
    try:
        if not ready.wait(_START_TIMEOUT):
            raise PageFailed(f"the worker for {app} was not ready after {_START_TIMEOUT:.0f} s")
        yield
        stop(process, app)
    except BaseException:
        process.kill()
        reader.join(_STOP_TIMEOUT)
        sys.stderr.write(f"--- the worker for {app} printed:\n{''.join(printed)}---\n")
        raise
    finally:
        process.kill()
        process.wait()
        reader.join(_STOP_TIMEOUT)


def read_output(process: subprocess.Popen[str], printed: list[str], ready: threading.Event) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            printed.append(line)
            if line.rstrip().endswith(" ready."):
                ready.set()
    # A worker that will never be ready is found out at once, by its exit.
    process.wait()
    ready.set()


def stop(process: subprocess.Popen[str], app: str) -> None:
    if process.poll() is not None:
        raise PageFailed(f"the worker for {app} exited with {process.returncode} before the page ended")
    process.send_signal(signal.SIGTERM)
    if code := process.wait(_STOP_TIMEOUT):
        raise PageFailed(f"the worker for {app} answered SIGTERM by exiting with {code}")


if __name__ == "__main__":
    try:
        run_page(Path(sys.argv[1]))
    except (RedisMissing, RabbitMissing) as reason:
        print(reason)
        sys.exit(SERVER_MISSING)
