"""Import modules of users; what is said of one that fails is where in it, and who asked for it."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured

_FROZEN: Final = "<frozen importlib"


class ModuleFailed(ImproperlyConfigured):
    """A module is there and raises when it is imported; the text ends in the traceback."""


class ModuleMissing(ImproperlyConfigured, ModuleNotFoundError):
    """There is no module of a name that was asked for."""


def import_tasks(module: str, asked_by: str) -> None:
    """Import a module for the tasks that it defines.

    Args:
        asked_by: the setting or option that names it.

    Raises:
        ModuleMissing: there is no such module.
        ModuleFailed: it raises.
    """
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # it is there; what it imports is not
            raise module_failed(module, f"which {asked_by} asks for", error) from error
        raise ModuleMissing(
            f"there is no module {error.name!r}, which {asked_by} asks for ({module!r}); correct the name, or start "
            "the worker in the folder that holds it",
            name=error.name,
        ) from error
    except (Exception, SystemExit) as error:
        raise module_failed(module, f"which {asked_by} asks for", error) from error


def imported(path: str, asked_by: str) -> Any:
    """Return what a dotted path such as ``shop.base:Base`` or ``shop.base.Base`` names.

    Raises:
        ImproperlyConfigured: there is nothing of that name.
    """
    module, _, attribute = path.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"{asked_by} names {path!r}, which cannot be had: {error}") from error


def module_failed(module: str, asked_for: str, error: BaseException) -> ModuleFailed:
    """Make the error about a module that raised, without the frames that lead to it.

    Args:
        asked_for: completes "cannot import <module>, ...".
    """
    frames = _without_ours(error.__traceback__)
    lines = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    return ModuleFailed(f"cannot import {module!r}, {asked_for}\n{lines}")


def _without_ours(frames: TracebackType | None) -> TracebackType | None:
    """Leave out the frames before the first one of the users'; a syntax error has none."""
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_ours(file: str) -> bool:
    return file.startswith(_FROZEN) or any(folder in Path(file).parents for folder in _OUR_FOLDERS)


_OUR_FOLDERS: Final = (Path(__file__).parents[1], Path(importlib.__file__).parent)
