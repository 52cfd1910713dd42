"""The part of an app that is about its settings: where they come from, and how an app is pickled with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from celeriac.app.config import Settings
from celeriac.app.config.objects import ConfigSource
from celeriac.app.config.sources import Defaults
from celeriac.app.signals import Signal
from celeriac.exceptions import ImproperlyConfigured


class Configured:
    """Have settings, and read them from the sources that the program names.

    Attributes:
        main: name of the app.
        conf: the settings.
        on_configure: sent before the sources of settings are read; a subclass may define a method in its place.
        on_after_configure: sent when they have been read.
    """

    environ: ClassVar[Mapping[str, str]] = os.environ
    """The environment, as far as settings are looked for in it; a class for tests has none."""

    main: str | None
    conf: Settings
    on_configure: Any
    on_after_configure: Signal

    def _set_up_settings(self, *said: Mapping[str, Any], source: Any, silent: bool, namespace: str | None) -> None:
        """Make the settings.

        Args:
            said: what the arguments of the app say, each as one source.
            source: the object to read, or where it is.
        """
        if not callable(getattr(self, "on_configure", None)):
            self.on_configure = Signal(name="app.on_configure")
        self.on_after_configure = Signal(("source",), name="app.on_after_configure")
        self.conf = Settings(
            *said,
            environ=self.environ,
            source=ConfigSource(source, silent=silent) if source is not None else None,
            namespace=namespace,
            before_load=self._before_settings,
            after_load=self._after_settings,
        )
        if self.main is None:
            self.conf.take_default_module()

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> Settings | None:
        """Read settings from an object: a module, class, instance or dict.

        Args:
            obj: the object, or where it is: ``package.module``, ``package.module:attribute``.
            silent: read nothing, without an error, when it is not there.
            force: read it now, and return the settings; otherwise it is read when a setting is first needed.
            namespace: what names begin with there, such as ``CELERY`` in ``CELERY_TASK_SERIALIZER``.

        Raises:
            ImproperlyConfigured: it was read now and is wrong or not there.
        """
        return self._read_from(ConfigSource(obj, silent=silent), force=force, namespace=namespace)

    def config_from_envvar(
        self, variable_name: str, silent: bool = False, force: bool = False
    ) -> Settings | Literal[False] | None:
        """Read settings from the module that a variable of the environment names.

        Returns:
            False when the variable is not set and `silent` is on; else as `config_from_object`.

        Raises:
            ImproperlyConfigured: the variable is not set; or as `config_from_object`.
        """
        module = os.environ.get(variable_name)
        if module:
            source = ConfigSource(module, silent=silent, asked_by=variable_name)
            return self._read_from(source, force=force)
        if silent:
            return False
        raise ImproperlyConfigured(
            f"the variable {variable_name}, which is to name a module with settings, is not set; set it, or pass "
            "silent=True"
        )

    def config_from_cmdline(self, argv: Sequence[str], namespace: str = "celery") -> None:
        """Change settings as a command line does: ``worker.concurrency=4``, ``task_acks_late=off``, ``(int)7``.

        Args:
            argv: the arguments.
            namespace: what is meant where a name begins with a dot, as in ``.concurrency=4``.

        Raises:
            UnknownSetting: there is none of a name.
            ImproperlyConfigured: a value is not of the setting's kind.
        """
        self.conf.read_arguments(argv, namespace=namespace)

    def add_defaults(self, fun: Defaults) -> None:
        """Add defaults, as a dict or as a function that makes one when settings are read.

        Names that are no settings become some. Every other source wins over them.
        """
        self.conf.add_defaults(fun)

    @property
    def configured(self) -> bool:
        """Whether the sources of settings have been read."""
        return self.conf.loaded

    @property
    def namespace(self) -> str | None:
        """What names of settings begin with in objects."""
        return self.conf.namespace

    def _read_from(self, source: ConfigSource, *, force: bool, namespace: str | None = None) -> Settings | None:
        self.conf.read_object(source, force=force, namespace=namespace)
        return self.conf if self.conf.loaded else None

    def _before_settings(self) -> None:
        if isinstance(self.on_configure, Signal):
            self.on_configure.send(sender=self)
        else:
            self.on_configure()

    def _after_settings(self) -> None:
        self.on_after_configure.send(sender=self, source=self.conf)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle_app, (type(self), self.__reduce_keys__(), self.conf.overrides)

    def __reduce_keys__(self) -> dict[str, Any]:
        """Return the arguments with which an app like this one is made elsewhere; a subclass may add its own.

        Of a module that settings come from only the name travels.
        """
        source = self.conf.source and self.conf.source.portable()
        return {
            "main": self.main,
            "changes": self.conf.changes,
            "config_source": source.target if source else None,
            "config_source_silent": source.silent if source else False,
            "namespace": self.namespace,
        }


def _unpickle_app(kind: type[Any], arguments: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
    """Make an app of its arguments, and tell it what the command line said."""
    app = kind(**arguments, set_as_current=False)
    app.conf.override(overrides)
    return app
