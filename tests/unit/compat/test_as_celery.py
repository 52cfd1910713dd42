"""`import celery` means celeriac: in processes of their own, for what is imported stays so."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.compat.as_celery import CELERY_VERSION, AliasFinder, PeerFinder, is_installed
from celeriac.compat.paths import Home, Missing
from celeriac.compat.peers import PEERS

PTH = Path(__file__).parents[3] / "src" / "celeriac-as-celery.pth"
ROWS = [(path, name, home) for path, names in PEERS.items() if isinstance(names, dict) for name, home in names.items()]


def python(source: str, *, variable: str | None = "1", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program after `import celeriac`."""
    variables = {name: value for name, value in os.environ.items() if name != "CELERIAC_AS_CELERY"}
    if variable is not None:
        variables["CELERIAC_AS_CELERY"] = variable
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder or ""), *sys.path]))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import celeriac\n{source}"],
        capture_output=True,
        text=True,
        env=variables,
        timeout=60,
    )


def printed(source: str, **given: str) -> str:
    done = python(source, **given)  # type: ignore[arg-type]  # only the variable is given
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_module_is_the_one_that_celeriac_has():
    same = printed(
        """
import celery, celeriac.app.task, celeriac.canvas, celeriac.utils.log
import celery.app.task, celery.utils.log
from celery import app, canvas
from celery.canvas import chain
print([celery.app.task is celeriac.app.task, canvas is celeriac.canvas, chain is celeriac.chain,
       celery.utils.log.get_task_logger is celeriac.utils.log.get_task_logger, celery.Celery is celeriac.Celery])
print(celeriac.app.task.__name__, celeriac.app.task.__spec__.name, celeriac.app.task.__spec__.loader.__class__.__name__)
"""
    )

    assert same == f"{[True] * 5}\nceleriac.app.task celeriac.app.task SourceFileLoader"


def test_a_module_is_loaded_once_although_its_folder_is_a_package_of_both():
    assert printed("import celery.app.log as a, celeriac.app.log as b; print(a is b)") == "True"


def test_a_program_that_asks_for_the_version_of_celery_is_told_one():
    told = printed("import celery; from celery import VERSION; print(celery.__version__, tuple(VERSION), celery)")

    number = ".".join(map(str, CELERY_VERSION))
    assert told.startswith(f"{number} {(*CELERY_VERSION, '', '')}")
    assert celeriac_version() in printed("import celery; print(celery.VERSION_BANNER)")


def celeriac_version() -> str:
    version: str = importlib.import_module("celeriac").__version__
    return version


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("from celery.bin.worker import worker", "run `celeriac`"),
        ("from celery.utils import memoize", "use functools.lru_cache"),
        ("import celery.no_such_module", "No module named 'celery.no_such_module'"),
        ("from celery import no_such_name", "cannot import name 'no_such_name' from 'celery'"),
        ("from kombu import Connection", "there are no kombu connections"),
        ("from kombu.mixins import ConsumerMixin", "there are no kombu connections"),
        ("import billiard.context", "use the module multiprocessing"),
    ],
)
def test_what_is_not_there_says_what_to_do(statement, text):
    done = python(statement)

    assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
    assert text in done.stderr


@pytest.mark.parametrize("said", [None, "", "0", "no"])
def test_nothing_happens_unless_it_is_asked_for(said):
    assert printed(
        "import sys; print('celery' in sys.modules, any('as_celery' in name for name in sys.modules))", variable=said
    ) == ("False False")


def test_a_program_asks_for_it():
    assert (
        printed(
            "from celeriac.compat import install_as_celery; install_as_celery(); install_as_celery(); import celery\n"
            "import sys; print(celery.Task is celeriac.Task, len([f for f in sys.meta_path if 'Alias' in repr(f)]))",
            variable="",
        )
        == "True 1"
    )


def test_it_refuses_when_celery_itself_is_imported(tmp_path):
    (tmp_path / "celery.py").write_text("__version__ = '5.6.1'")
    program = "import celery\nfrom celeriac.compat import install_as_celery\ninstall_as_celery()"

    done = python(program, variable=None, folder=tmp_path)

    assert done.returncode == 1
    assert f"celery 5.6.1 is imported already, from {tmp_path}" in done.stderr
    assert "CELERIAC_AS_CELERY=1" in done.stderr


def test_celery_that_is_installed_and_not_imported_is_passed_over(tmp_path):
    (tmp_path / "celery.py").write_text("raise RuntimeError('imported')")

    assert python("import celery; assert celery.Task is celeriac.Task", folder=tmp_path).returncode == 0


def test_kombu_that_is_installed_is_used(tmp_path):
    (tmp_path / "kombu.py").write_text("Connection = 5")

    assert python("import kombu; assert kombu.Connection == 5", folder=tmp_path).returncode == 0


def test_what_celeriac_logs_comes_to_those_who_listen_to_celery():
    assert (
        printed(
            "import logging, sys; log = logging.getLogger('celery'); log.setLevel('INFO')\n"
            "log.addHandler(logging.StreamHandler(sys.stdout)); import celery.utils.log as u\n"
            "u.get_task_logger('shop').info('paid')"
        )
        == "paid"
    )


def test_programs_that_ask_for_the_version_that_is_installed_are_told_celerys():
    program = """
from importlib.metadata import distribution, distributions, entry_points, version
import celery
print(version("celery"), distribution("celery").metadata["Name"], distribution("celery").files, celery.__version__)
print(version("Celery"), [one.version for one in distributions(name="celery", path=["/nowhere"])])
print([one.name for one in distributions() if type(one).__name__ == "CeleryStoodFor"])
entry_points()
"""

    assert printed(program).splitlines() == ["5.7.0 celery None 5.7.0", "5.7.0 []", "[]"]


def test_pytest_celery_finds_what_it_imports_to_ask_whether_settings_were_read():
    program = """
from celery import Celery
from celery.app.base import PendingConfiguration
app = Celery("shop", broker="memory://")
print(isinstance(app.conf, PendingConfiguration), isinstance(app.conf.changes, PendingConfiguration))
"""

    assert printed(program) == "True False"


def test_the_request_of_a_received_message_can_be_named_and_no_class_of_tasks_may_replace_it():
    program = """
from billiard import VERSION
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery import Task, registry
from celery.apps.worker import Worker
from celery.worker import WorkController
from celery.worker.request import Context, Request
assert Worker is WorkController  # what steps and receivers of signals are given
class MyRequest(Request):
    pass
print(VERSION >= (4, 0, 1), issubclass(Request, Context), ExceptionWithTraceback(KeyError(1)).exc)
try:
    class MyTask(Task):
        Request = MyRequest
except TypeError as error:
    print(error)
"""

    first, second = printed(program).splitlines()
    assert first == "True True 1"
    assert "a worker's request is no class of yours to replace" in second


def test_settings_of_a_program_may_have_names_of_its_own_and_typos_are_errors_still():
    program = """
import celery
app = celery.Celery("shop", broker="memory://")
app.conf.ONCE = {"backend": "file"}
app.conf.update(singleton_backend_url="redis://")
print(app.conf.ONCE, app.conf.get("singleton_backend_url"))
app.conf.SCOUT_KEY = app.conf.task_tenant_cache_seconds = 5  # which two packages have
for typo in ("task_acks_lat", "worker_concurency", "broker_ulr", "timezoen", "importz"):
    try:
        app.conf[typo] = 1
    except Exception as error:
        print(type(error).__name__)
"""

    assert printed(program).splitlines() == ["{'backend': 'file'} redis://", *["UnknownSetting"] * 5]


def test_objects_with_settings_may_have_names_of_packages_in_them(tmp_path):
    (tmp_path / "plain.py").write_text(
        "broker_url = 'memory://'\nONCE = {'backend': 'file'}\nimport os\ntask_tenant = 3\n"
    )
    (tmp_path / "prefixed.py").write_text(
        "CELERY_BROKER_URL = 'memory://'\nCELERY_ONCE = {'a': 1}\nCELERY_REDBEAT_LOCK_KEY = 'k'\nONCE = 5\nDEBUG = 1\n"
    )
    (tmp_path / "typos.py").write_text("task_acks_lat = True\n")
    program = """
from celery import Celery
plain, prefixed, wrong = Celery("a"), Celery("b"), Celery("c")
plain.config_from_object("plain")
print(hasattr(plain.conf, "ONCE"), plain.conf.ONCE, plain.conf["task_tenant"], hasattr(plain.conf, "os"))
prefixed.config_from_object("prefixed", namespace="CELERY")
print(prefixed.conf.ONCE, prefixed.conf.once, prefixed.conf.get("redbeat_lock_key"), hasattr(prefixed.conf, "debug"))
prefixed.conf.ONCE = {'b': 2}
print(prefixed.conf.ONCE, prefixed.conf.once)
wrong.config_from_object("typos")
try:
    wrong.conf.broker_url
except Exception as error:
    print(error)
"""

    done = python(program, folder=tmp_path)

    assert done.stdout.splitlines() == [
        "True {'backend': 'file'} 3 False",
        "{'a': 1} {'a': 1} k False",
        "{'b': 2} {'b': 2}",
        "there is no setting 'task_acks_lat' (a bool from module typos); did you mean 'task_acks_late'?",
    ], done.stderr


def test_classes_of_tasks_may_have_options_of_their_own_and_typos_are_errors_still():
    program = """
import celery
app = celery.Celery("shop", broker="memory://")
class Once(celery.Task):
    def apply_async(self, args=None, kwargs=None, **options):
        print(self.heimdall, options)
        return super().apply_async(args, kwargs, **options)
@app.task(base=Once, heimdall={"unique": True})
def pay():
    pass
pay.apply_async(once={"graceful": True})
for options in ({"ignore_results": True}, {"max_retry": 1}):
    try:
        app.task(**options)(lambda: None)
    except TypeError as error:
        print(error.__class__.__name__)
try:
    pay.apply_async(prioriti=1)
except TypeError as error:
    print(error)
"""

    assert printed(program).splitlines() == [
        "{'unique': True} {'once': {'graceful': True}}",
        "TypeError",
        "TypeError",
        "{'unique': True} {'prioriti': 1}",
        "a call of task 'shop.pay' has no option 'prioriti'; did you mean 'priority'?",
    ]


def test_private_names_that_libraries_call_do_what_they_do_in_celery():
    program = """
from celery import Celery, Task, states
from celery.backends.base import DisabledBackend
from celery.registry import tasks
from celery.result import EagerResult
app = Celery("shop", broker="memory://")
class Once(Task):
    abstract = True
    def apply_async(self, args=None, kwargs=None, **options):
        assert self._get_app() is app
        return EagerResult(None, None, states.REJECTED)
@app.task(base=Once, name="pay")
def pay(amount):
    return amount
@app.task(name="tell")
def tell():
    raise KeyError("no")
told = tell.apply()._get_task_meta()
print(pay.delay(5).id, pay.delay(5).state, app.AsyncResult("1")._get_task_meta()["status"])
print(told["status"], repr(told["result"]), "KeyError" in told["traceback"])
print("pay" in tasks, tasks["pay"] is app.tasks["pay"], isinstance(app.backend, DisabledBackend))
"""

    assert printed(program).splitlines() == ["None REJECTED PENDING", "FAILURE KeyError('no') True", "True True False"]


def test_the_module_is_run_as_a_command():
    run = "import runpy, sys; sys.argv = ['celery', '--version']; runpy.run_module('celery', run_name='__main__')"

    assert python(run).stdout.startswith("celeriac ")


def test_the_line_of_the_wheel_does_nothing_unless_it_is_asked_for(monkeypatch):
    (line,) = PTH.read_text().splitlines()
    imported: list[str] = []

    def noted(name: str, *rest: object) -> object:
        imported.append(name)
        return __import__(name)

    names = {"__import__": noted}

    monkeypatch.delenv("CELERIAC_AS_CELERY", raising=False)
    exec(line, {"__builtins__": names})
    assert imported == ["os"]

    monkeypatch.setenv("CELERIAC_AS_CELERY", "no")  # or this very process would be changed
    assert "CELERIAC_AS_CELERY" in line


@pytest.mark.parametrize(("path", "name", "home"), ROWS, ids=[f"{path}.{name}" for path, name, _ in ROWS])
def test_a_name_of_what_celery_brings_along_has_a_home_or_a_reason(path, name, home):
    if isinstance(home, Home):
        assert hasattr(importlib.import_module(home.module), home.attribute)
    else:
        assert isinstance(home, Missing)
        assert home.why


def test_this_process_is_left_alone():
    assert not is_installed()
    assert AliasFinder not in sys.meta_path
    assert PeerFinder not in sys.meta_path
