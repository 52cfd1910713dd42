"""The examples of every page of documentation run, and do what the page says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.run_page import SERVER_MISSING

REPOSITORY = Path(__file__).parent.parent.parent
PAGES = sorted([*(REPOSITORY / "docs").glob("*.md"), *REPOSITORY.glob("README*.md")])

_PAGE_TIMEOUT = 100.0


def run(page: Path, folder: Path) -> tuple[int, str]:
    """Run a page in a process of its own, in an empty folder; return its exit code and what it printed."""
    folder.mkdir()
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {
        "CELERIAC_HOME": str(folder / ".celeriac"),
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        # The sources of this checkout, also where another one is installed.
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.run_page", str(page)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=_PAGE_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the page and the workers it started
        printed, _ = process.communicate()
        return -signal.SIGKILL, f"{printed}\nstill running after {_PAGE_TIMEOUT:.0f} s"
    return process.returncode, printed


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_the_examples_of_the_page_run(page: Path, tmp_path: Path) -> None:
    code, printed = run(page, tmp_path / "reader")

    if code == SERVER_MISSING and not os.environ.get("CI"):
        pytest.skip(printed)
    assert code == 0, printed


# --- the harness itself, on small pages ---


def run_text(text: str, tmp_path: Path) -> tuple[int, str]:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return run(page, tmp_path / "reader")


SHARED = """\
<!-- file: shop/prices.py -->
```python
PRICES = {"tea": 3}
```

Then:

```python
from shop.prices import PRICES
total = PRICES["tea"]
```

:::{note}
In a note, too.
:::

````{tip}
```python
assert total == 3
total += 1
```
````

```pycon
>>> total
4
>>> object()
<object object at 0x...>
```

<!-- run -->
```console
$ python -c 'import shop.prices; print(len(shop.prices.PRICES), "price")'
1 price
$ true
```

<!-- not run: shows what not to do -->
```python
1 / 0
```

```console
$ false
```
"""


def test_the_blocks_of_a_page_share_files_and_names(tmp_path: Path) -> None:
    code, printed = run_text(SHARED, tmp_path)

    assert (code, printed) == (0, "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# Page\n\n```python\nx = 1\nassert x == 2\n```\n", 'page.md", line 5'),
        ("````{tip}\n```python\n1 / 0\n```\n````\n", 'page.md", line 3'),
        ("```python\n(\n```\n", 'page.md", line 2'),
        ("# Page\n\n```pycon\n>>> 1 + 1\n3\n```\n", 'page.md", line 4'),
        ("<!-- run -->\n```console\n$ exit 3\n```\n", "page.md:3: `exit 3` exited with 3"),
        (
            "<!-- run -->\n```console\n$ echo tea\ncoffee\n```\n",
            "page.md:3: `echo tea` printed\ntea\ninstead of\ncoffee",
        ),
        ("<!-- run -->\n```toml\nx = 1\n```\n", "page.md:3: a block of toml cannot be run"),
        ("<!-- file: ../x.py -->\n```python\n```\n", "page.md:3: ../x.py does not lie below"),
        ("```{code-block} python\nx = 1\n```\n", "line 1: write a plain ```python fence"),
        ("<!-- worker: nowhere -->\n```python\n```\n", "the worker for nowhere exited with"),
    ],
)
def test_an_example_that_fails_is_reported_with_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    code, printed = run_text(text, tmp_path)

    assert code == 1
    assert complaint in printed


SERVED = """\
<!-- file: tasks.py -->
```python
from celeriac import Celery

app = Celery("tasks")

@app.task
def add(x, y):
    return x + y
```

<!-- worker -->
```python
from tasks import add
assert add.delay(2, 3).get(timeout=60) == 5
```
"""


def test_a_page_can_have_a_worker_that_stops_with_it(tmp_path: Path) -> None:
    code, printed = run_text(SERVED, tmp_path)

    assert (code, printed) == (0, "")


WITH_REDIS = """\
<!-- redis: --appendonly yes -->
<!-- run -->
```console
$ redis-cli CONFIG GET appendonly
appendonly
yes
$ redis-cli SET tea 3
OK
```

```python
import redis

with redis.Redis.from_url("redis://localhost:6379/0") as client:
    assert client.get("tea") == b"3"
```
"""


def test_a_page_can_have_a_redis_of_its_own(tmp_path: Path) -> None:
    code, printed = run_text(WITH_REDIS, tmp_path)

    if code == SERVER_MISSING and not os.environ.get("CI"):
        pytest.skip(printed)
    assert (code, printed) == (0, "")
