"""The names of tasks, made of functions."""

from __future__ import annotations

import sys
from pathlib import Path


def task_name(name: str, module: str, main: str | None) -> str:
    """Return the name of a task for a function of a module; `main` stands for the module that runs as a program."""
    if module == "__main__":
        module = main or _module_run_as_main()
    return f"{module}.{name}" if module else name


def _module_run_as_main() -> str:
    """Return the name by which a worker is likely to import the module that runs as ``__main__``."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"
