"""The imports of the package point up its list of layers, never down.

A part may import what stands on the lines above it. Parts on one line do not import each other, except the plain
values. `testing` may import anything, and only tests import it. If this fails, move the code or pass the collaborator
in; an import inside a function is no way round it, and has a short list of its own.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "celeriac"

PLAIN_VALUES = ("exceptions", "states", "clock", "ids", "masking", "message", "shelter")
LAYERS = (
    PLAIN_VALUES,
    ("wire", "canvas", "schedules"),
    ("brokers",),
    ("backends",),
    ("app",),
    ("worker",),
    ("scheduler",),
    ("flows",),
    ("monitor",),
    ("compat",),
    ("http", "cli", "contrib"),
)
LINE_OF = {part: line for line, parts in enumerate(LAYERS) for part in parts}

# The package itself and `python -m celeriac` stand below everything: they may import any part, and no part them.
DOORS = ("", "__main__")

# The one module that may import downwards, because Celery's entry points (`app.worker_main()`) live on the app.
ENTRY = "celeriac.app.entry"

# Modules and packages that may import celeriac inside a function, with the reason.
LAZY_IMPORTERS = {
    "celeriac": "the package's names are loaded when first asked for; `import celeriac` stays cheap",
    ENTRY: "Celery's entry points on the app start parts below it",
    "celeriac.app.current": "the default app is made when one is needed and nobody has made any",
    "celeriac.app.stores": "the scheme of a URL picks the adapter; only that one, and its extra, is loaded",
    "celeriac.app.telling": "what tells and hears events is loaded by the first who does; an app without stays cheap",
    "celeriac.brokers.amqp.broker": "only workers need aiormq and an event loop",
    "celeriac.brokers.amqp.bus": "likewise",
    "celeriac.compat": "the table is loaded when one of its paths is asked for; `import celeriac` stays cheap",
    "celeriac.testing": "pytest loads the plugin wherever celeriac is installed; the rest when a fixture is used",
    "celeriac.cli": "a subcommand is loaded when it is called; `--help` stays fast",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module, or name of a module, and where it stands."""

    importer: str
    lineno: int
    module: str
    name: str | None
    lazy: bool

    @property
    def parts(self) -> tuple[str, str]:
        return part_of(self.importer), part_of(self.module)

    def __str__(self) -> str:
        return f"{self.importer}:{self.lineno} imports {'.'.join(filter(None, (self.module, self.name)))}"


class ImportFinder(ast.NodeVisitor):
    """Collect the imports of one module that lead into the package."""

    def __init__(self, importer: str, *, is_package: bool, modules: frozenset[str]) -> None:
        self.importer = importer
        self.package = importer if is_package else importer.rpartition(".")[0]
        self.modules = modules
        self.found: list[Import] = []
        self._function_depth = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = self._absolute(node)
        for alias in node.names:
            submodule = f"{source}.{alias.name}"
            if submodule in self.modules:
                self._add(node, submodule, None)
            else:
                self._add(node, source, alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                self._add(node, name, None)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_body(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_body(node)

    def _visit_body(self, node: ast.AST) -> None:
        self._function_depth += 1
        self.generic_visit(node)
        self._function_depth -= 1

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        anchor = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
        return ".".join([*anchor, *filter(None, [node.module])])

    def _add(self, node: ast.stmt | ast.expr, module: str, name: str | None) -> None:
        if module.split(".")[0] == "celeriac":
            lazy = self._function_depth > 0
            self.found.append(
                Import(importer=self.importer, lineno=node.lineno, module=module, name=name, lazy=lazy),
            )


def part_of(module: str) -> str:
    """Name the part of the house a module belongs to: `celeriac.worker.pools.solo` is of `worker`."""
    return module.split(".")[1] if "." in module else ""


def module_name(path: Path, package: Path) -> str:
    parts = ["celeriac", *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(package: Path) -> list[Import]:
    """Find every import from the package into itself."""
    paths = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    found: list[Import] = []
    for module, path in paths.items():
        finder = ImportFinder(module, is_package=path.name == "__init__.py", modules=frozenset(paths))
        finder.visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
        found += finder.found
    return found


def objections(package: Path) -> list[str]:
    """Say what is wrong with the package's imports; nothing when all is well."""
    parts = {part_of(module_name(path, package)) for path in package.rglob("*.py")}
    unlisted = sorted(parts - LINE_OF.keys() - {"testing", *DOORS})
    return [f"celeriac.{part} stands on no line of the layers" for part in unlisted] + [
        f"{found}: {objection}"
        for found in imports_of(package)
        for objection in (direction(found), laziness(found), privacy(found))
        if objection
    ]


def direction(found: Import) -> str | None:
    importer, imported = found.parts
    if importer == imported:
        return None
    if imported == "testing":
        return "only tests import celeriac.testing"
    if importer in ("testing", *DOORS):
        return None
    if imported in DOORS:
        return None if found.name == "__version__" else "import a name from the module that defines it"
    if not {importer, imported} <= LINE_OF.keys():
        return "one of the two stands on no line of the layers"
    if importer in PLAIN_VALUES and imported in PLAIN_VALUES:
        return None
    if LINE_OF[imported] < LINE_OF[importer]:
        return None
    if found.importer == ENTRY and found.lazy:
        return None
    return "imports point up the layers, never down or sideways"


def laziness(found: Import) -> str | None:
    if not found.lazy or any(is_within(found.importer, owner) for owner in LAZY_IMPORTERS):
        return None
    return "an import inside a function is for an optional dependency; import it at the top"


def is_within(module: str, owner: str) -> bool:
    """Tell whether `module` is `owner` or inside it; the package itself owns only its own `__init__`."""
    return module == owner or (owner != "celeriac" and module.startswith(f"{owner}."))


def privacy(found: Import) -> str | None:
    importer, imported = found.parts
    if importer == imported:
        return None
    private = [name for name in (*found.module.split("."), found.name or "") if is_private(name)]
    return f"{private[0]} is private to celeriac.{imported}" if private else None


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_the_package_keeps_to_its_layers() -> None:
    assert imports_of(PACKAGE), f"found no imports at all under {PACKAGE}"
    assert objections(PACKAGE) == []


# --- the check itself, on small trees ---


def tree(root: Path, sources: dict[str, str]) -> Path:
    for name, source in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package with one empty module in most of its parts."""
    files = (
        *("__init__.py", "message.py", "states.py", "wire/__init__.py", "wire/results.py", "canvas/plan.py"),
        *("brokers/base.py", "brokers/__init__.py", "app/entry.py", "worker/supervisor.py", "worker/pools/solo.py"),
        *("cli/main.py", "http/api.py", "testing/__init__.py"),
    )
    return tree(tmp_path / "celeriac", dict.fromkeys(files, ""))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("worker/supervisor.py", "from celeriac.brokers.base import Broker"),
        ("worker/supervisor.py", "from celeriac import message, states"),
        ("worker/pools/solo.py", "from .. import supervisor\nfrom ..supervisor import _private"),
        ("brokers/__init__.py", "from .base import Broker\nfrom . import base"),
        ("message.py", "from celeriac.states import PENDING"),
        ("cli/main.py", "from celeriac import __version__"),
        ("cli/main.py", "def worker():\n    from celeriac.worker import supervisor"),
        ("app/entry.py", "def worker_main():\n    from celeriac.worker import supervisor"),
        ("testing/__init__.py", "from celeriac.worker import supervisor\nfrom celeriac import Celery"),
        ("__init__.py", "def __getattr__(name):\n    from celeriac.app import entry"),
        ("brokers/base.py", "def connect():\n    import redis"),
    ],
)
def test_an_import_that_keeps_to_the_rule_is_accepted(house: Path, file: str, source: str) -> None:
    tree(house, {file: source})

    assert objections(house) == []


@pytest.mark.parametrize(
    ("file", "source", "objection"),
    [
        ("brokers/base.py", "from celeriac.worker.supervisor import run", "never down"),
        ("brokers/base.py", "import celeriac.worker.supervisor", "never down"),
        ("brokers/base.py", "from celeriac.worker import supervisor", "never down"),
        ("brokers/base.py", "from ..worker import supervisor", "never down"),
        ("brokers/base.py", "if TYPE_CHECKING:\n    from celeriac.app import entry", "never down"),
        ("brokers/base.py", "def late():\n    from celeriac.worker import supervisor", "never down"),
        ("brokers/base.py", "import importlib\nimportlib.import_module('celeriac.worker')", "never down"),
        ("canvas/plan.py", "from celeriac.wire import results", "sideways"),
        ("http/api.py", "from celeriac.cli.main import main", "sideways"),
        ("app/entry.py", "from celeriac.worker import supervisor", "never down"),
        ("app/entry.py", "def late():\n    from celeriac.testing import clock", "only tests"),
        ("cli/main.py", "from celeriac.testing import clock", "only tests"),
        ("__init__.py", "from celeriac.testing import clock", "only tests"),
        ("worker/supervisor.py", "from celeriac import Celery", "the module that defines it"),
        ("worker/supervisor.py", "def late():\n    from celeriac.brokers import base", "import it at the top"),
        ("worker/supervisor.py", "late = lambda: __import__('celeriac.brokers')", "import it at the top"),
        (
            "worker/supervisor.py",
            "async def late():\n    from celeriac.worker.pools import solo",
            "import it at the top",
        ),
        ("worker/supervisor.py", "from celeriac.brokers.base import _rows", "_rows is private to celeriac.brokers"),
        ("worker/supervisor.py", "from celeriac.brokers._rows import Row", "_rows is private to celeriac.brokers"),
        ("testing/__init__.py", "from celeriac.brokers.base import _rows", "_rows is private"),
        ("worker/supervisor.py", "from celeriac.gadgets import gadget", "on no line"),
        ("gadgets/gadget.py", "", "celeriac.gadgets stands on no line"),
    ],
)
def test_an_import_that_breaks_the_rule_is_found(house: Path, file: str, source: str, objection: str) -> None:
    tree(house, {file: source})

    found = objections(house)

    assert any(objection in line for line in found), found
