"""A call not yet made, as the dict that travels: partial arguments, options, what follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Final, Generic, Self, TypeAlias, TypeVar, overload

from celeriac.canvas.links import Linked, listed
from celeriac.canvas.sender import Result, Sender, current_sender
from celeriac.canvas.stamping import StampingVisitor, merged_stamps
from celeriac.ids import new_id

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
Kind = TypeVar("Kind", bound="type[Signature[Any]]")

# Inside the class `type` is the task.
_Kinds: TypeAlias = "dict[str, type[Signature[Any]]]"

_DEFAULTS: Final[Mapping[str, Callable[[], Any]]] = {
    "args": tuple,
    "kwargs": dict,
    "options": dict,
    "subtask_type": lambda: None,
    "immutable": lambda: False,
}


class Signature(Linked, Generic[R_co]):
    """Hold a call: a task's name, arguments of it and options, to be completed, handed around and sent.

    It is a dict with the keys ``task``, ``args``, ``kwargs``, ``options``, ``subtask_type`` and ``immutable``, and that
    dict is what messages carry. Which app sends it is not part of the dict: one that was serialized belongs to the
    current app.

    Arguments given later come *in front of* `args`; later `kwargs` and options win over those it has, except for
    ``group_id`` and stamps. An immutable one takes no arguments later, only options.

    Args:
        task: a task, the name of one, or the dict of a signature.
        args: positional arguments, all or the last ones.
        kwargs: keyword arguments.
        options: for `apply_async`.
        type: the task, when `task` is its name.
        subtask_type: which subclass it is, for those that read it; None for a plain call.
        immutable: take no arguments later.
        app: finds the task and sends; None: the task's app, else the current one.
        more_options: more options.
    """

    TYPES: ClassVar[_Kinds] = {}

    # Changing these while a call is completed would break the group that waits for it.
    _KEPT_OPTIONS: ClassVar = frozenset({"group_id", "stamped_headers"})

    def __init__(
        self,
        task: Any,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        type: Any = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Any = None,
        **more_options: Any,
    ) -> None:
        self._type = type
        self._app: Sender | None = app
        if isinstance(task, dict):
            super().__init__(task)
            for key, default in _DEFAULTS.items():
                if self.get(key) is None:
                    self[key] = default()
        else:
            if not isinstance(task, str):
                self._type = task
            super().__init__(
                task=getattr(task, "name", task),
                args=_positional(args),
                kwargs=dict(kwargs or {}),
                options={**(options or {}), **more_options},
                subtask_type=subtask_type,
                immutable=immutable,
            )
        if not isinstance(self.get("task"), str):
            raise TypeError(f"a signature needs a task or the name of one, got {task!r}; for a function, decorate it")

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[Kind], Kind]:
        """Decorate a subclass: a dict whose ``subtask_type`` is `name`, else the class's name, becomes one of it."""

        def register(kind: Kind) -> Kind:
            cls.TYPES[name or kind.__name__] = kind
            return kind

        return register

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Signature[Any]:
        """Make a signature of its dict, of the class that its ``subtask_type`` says.

        Raises:
            NotImplementedError: no class is registered for that type.
        """
        name = d.get("subtask_type")
        if name:
            kind = cls.TYPES.get(name)
            if kind is None:
                known = f"; there are {', '.join(sorted(cls.TYPES))}" if cls.TYPES else ""
                raise NotImplementedError(f"signatures of type {name!r} are not in this version of celeriac{known}")
            if kind is not cls:
                return kind.from_dict(d, app=app)
            return kind(d, app=app)
        return Signature(d, app=app)

    # -- calling ------------------------------------------------------------------------------------------------

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> R_co:
        """Run the task's body here and now, as a function."""
        args, kwargs, _ = self._merge(partial_args, partial_kwargs, None)
        value: R_co = self.type(*args, **kwargs)
        return value

    def __invert__(self) -> R_co:
        """Send the call and wait for its result: ``~add.s(2, 2)``."""
        return self.apply_async().get()

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> Result[R_co]:
        """Send the call, completed by these arguments."""
        return self.apply_async(partial_args, partial_kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[R_co]:
        """Send the call, completed by these arguments and options. An option of None is not given.

        Raises:
            TypeError: the arguments do not fit the task, or there is no such option.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation in time.
        """
        result: Result[R_co]
        args, kwargs, options = self.completed(args, kwargs, options)
        task = self.known_task()
        if task is None:
            result = self.app.send_task(self["task"], args, kwargs, **options)
        else:
            result = task.apply_async(args, kwargs, **options)
        return result

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> Result[R_co]:
        """Do what `delay` does without blocking the event loop."""
        return await self.aapply_async(partial_args, partial_kwargs)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[R_co]:
        """Do what `apply_async` does without blocking the event loop."""
        result: Result[R_co]
        args, kwargs, options = self.completed(args, kwargs, options)
        task = self.known_task()
        if task is None:
            result = await self.app.asend_task(self["task"], args, kwargs, **options)
        else:
            result = await task.aapply_async(args, kwargs, **options)
        return result

    def apply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Result[R_co]:
        """Run the call here and now as a worker would, and return how it ended."""
        args, kwargs, options = self.completed(args, kwargs, options)
        result: Result[R_co] = self.type.apply(args, kwargs, **options)
        return result

    # -- changing -----------------------------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """Return a copy that is completed by these arguments and options. Nothing that either changes is shared."""
        args, kwargs, options = self._merge(args, kwargs, options)
        copied = deepcopy(self)
        dict.update(copied, args=tuple(args), kwargs=dict(kwargs), options=deepcopy(options))
        return copied

    partial = clone

    def replace(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return a copy that has these instead of its own; None keeps its own."""
        copied = self.clone()
        if args is not None:
            copied.args = args
        if kwargs is not None:
            copied.kwargs = dict(kwargs)
        if options is not None:
            copied.options = dict(options)
        return copied

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Add options in place, and return the signature itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Take no arguments later, or take them again."""
        self.immutable = immutable

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Result[R_co]:
        """Settle the id of the run before it is sent, and return its result. Send it only once after that.

        Args:
            _id: the id, unless it has one; None makes one.
            group_id: of its group, unless it has one.
            chord: the body that waits for it.
            root_id: first task of the workflow.
            parent_id: the task that leads to this one.
            group_index: its place in the group.
        """
        options = self.options
        task_id = options.setdefault("task_id", _id or new_id())
        if root_id:
            options["root_id"] = root_id
        if parent_id:
            options["parent_id"] = parent_id
        if "reply_to" not in options:
            options["reply_to"] = self.app.thread_oid
        if group_id and "group_id" not in options:
            options["group_id"] = group_id
        if chord:
            options["chord"] = chord
        if group_index is not None:
            options["group_index"] = group_index
        result: Result[R_co] = self.AsyncResult(task_id)
        return result

    # -- parts ---------------------------------------------------------------------------------------------------

    @property
    def app(self) -> Any:
        """The app that finds the task and sends: its own, that of the task or of the first call it is made of."""
        return self.app_if_any() or current_sender()

    def app_if_any(self) -> Any:
        """Return the app that it belongs to, or None when the current one is meant."""
        return self._app or getattr(self._type, "app", None)

    @property
    def type(self) -> Any:
        """The task.

        Raises:
            NotRegistered: it is not known here.
        """
        return self._type or self.app.tasks[self["task"]]

    @property
    def AsyncResult(self) -> Callable[[str], Any]:
        """What makes results of ids: that of the task, or of the app when the task is not known here."""
        task = self.known_task()
        make: Callable[[str], Any] = (self.app if task is None else task).AsyncResult
        return make

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """Write the call as it would be completed by these arguments: ``'add(2, 2)'``."""
        merged, keywords, _ = self._merge(args, kwargs, None, force=True)
        # Whole, not shortened: periodic tasks without a name are called this.
        shown = [*map(repr, merged), *(f"{name}={value!r}" for name, value in keywords.items())]
        return f"{self['task']}({', '.join(shown)})"

    # -- combining ----------------------------------------------------------------------------------------------

    def __or__(self, other: Signature[T]) -> Signature[T]:  # type: ignore[override]  # a dict's makes a dict
        """Make a chain: ``a | b`` sends b with the result of a."""
        if not isinstance(other, Signature):
            # What `return NotImplemented` leads to, said to people who forgot `.s()`.
            raise TypeError(
                f"cannot combine signature {self!r} with {type(other).__name__} {other!r}; give it as a .s()"
            )
        made: Signature[T] = Signature.TYPES["chain"].combine(self, other)
        return made

    def __ror__(self, other: dict[str, Any]) -> Signature[R_co]:  # type: ignore[override]
        """Make a chain of the dict of a signature and this one."""
        if not isinstance(other, dict):
            return NotImplemented
        return maybe_signature(other).__or__(self)

    def __ior__(self, other: Signature[T]) -> Signature[T]:  # type: ignore[override]
        return self.__or__(other)

    @classmethod
    def combine(cls, *steps: Signature[Any]) -> Signature[Any]:
        """Make of signatures what runs them one after the other; `chain` knows how."""
        raise NotImplementedError

    def flatten_links(self) -> list[Signature[Any]]:
        """Return the signature and all its callbacks, those of callbacks too, each before its own."""
        found: list[Signature[Any]] = [self]
        for callback in listed(self.options.get("link")):
            found += maybe_signature(callback, app=self._app).flatten_links()
        return found

    # -- stamping -----------------------------------------------------------------------------------------------

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Stamp this call, its callbacks and its errbacks: headers that travel with the messages.

        Args:
            visitor: is shown each of them, and returns stamps for it.
            append_stamps: gather the values of a stamp that is there already in a list, instead of replacing it.
            headers: stamps for all of them.
        """
        self.stamp_links(visitor, append_stamps, **headers)
        own = visitor.on_signature(self, **headers) or {} if visitor is not None else {}
        return self.set(**merged_stamps(self.options, headers, own, append=append_stamps))

    def stamp_links(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> None:
        """Stamp callbacks and errbacks, and theirs; see `stamp`."""
        for key in ("link", "link_error"):
            links = listed(self.options.get(key))
            if not links:
                continue
            stamped = []
            for each in links:
                call = maybe_signature(each, app=self._app, clone=True)
                said = dict(headers)
                if visitor is not None:
                    shown = visitor.on_callback if key == "link" else visitor.on_errback
                    said = merged_stamps({}, headers, shown(call, **headers) or {}, append=append_stamps)
                stamped.append(call.stamp(visitor, append_stamps, **said))
            self.options[key] = stamped

    def election(self) -> Any:
        """Have the nodes elect one of them, which sends the call; return its result."""
        task_id = self.options.get("task_id") or new_id()
        self.app.control.election(task_id, "task", self.clone(task_id=task_id))
        return self.AsyncResult(task_id)

    # -- copying ------------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy options deeply; arguments may be lazy, so of them only the containers are copied."""
        copied = self._bare_copy()
        memo[id(self)] = copied
        dict.update(copied, self, kwargs=dict(self.kwargs), options=deepcopy(self.options, memo))
        return copied

    def __copy__(self) -> Self:
        copied = self._bare_copy()
        dict.update(copied, self)
        return copied

    def __reduce__(self) -> Any:
        return signature, (dict(self),)

    def __json__(self) -> dict[str, Any]:
        """Return what is to be written as JSON, as kombu's serializer asks for it."""
        return dict(self)

    def __repr__(self) -> str:
        return self.reprcall()

    def _bare_copy(self) -> Self:
        copied = type(self).__new__(type(self))
        copied._type, copied._app = self._type, self._app
        return copied

    def known_task(self) -> Any:
        """Return the task, or None when it is not registered here."""
        if self._type is not None:
            return self._type
        try:
            return self.app.tasks[self["task"]]
        except KeyError:
            return None

    @property
    def given_app(self) -> Any:
        """The app that it was given, or None."""
        return self._app

    def completed(
        self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any], dict[str, Any]]:
        """Return arguments and options, completed by these; None among the options are not given."""
        return self._merge(args, kwargs, {name: value for name, value in options.items() if value is not None})

    def _merge(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        *,
        force: bool = False,
    ) -> tuple[Sequence[Any], Mapping[str, Any], dict[str, Any]]:
        """Return what it has, completed; `force` completes an immutable one too."""
        merged = self.options
        if options:
            kept = self._KEPT_OPTIONS.union(merged.get("stamped_headers") or ())
            merged = merged | {name: value for name, value in options.items() if name not in kept or name not in merged}
        if self.immutable and not force:
            return self.args, self.kwargs, merged
        return (
            (*_positional(args), *self.args) if args else self.args,
            {**self.kwargs, **kwargs} if kwargs else self.kwargs,
            merged,
        )


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature[Any]:
    """Make a signature of a task or its name, of a dict, or a copy of another signature; see `Signature`."""
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, dict):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


subtask = signature


@overload
def maybe_signature(d: None, app: Any = None, clone: bool = False) -> None: ...
@overload
def maybe_signature(d: dict[str, Any], app: Any = None, clone: bool = False) -> Signature[Any]: ...
def maybe_signature(d: dict[str, Any] | None, app: Any = None, clone: bool = False) -> Signature[Any] | None:
    """Make a signature of a dict that is none yet; None stays None.

    Args:
        d: a signature, or the dict of one.
        app: what it is to belong to from now on; None leaves that as it is.
        clone: copy what is a signature already.

    Raises:
        TypeError: it is something else.
    """
    if d is None:
        return None
    if not isinstance(d, Signature):
        if not isinstance(d, dict):
            raise TypeError(f"{type(d).__name__} {d!r:.80} is no signature; give it as a .s()")
        d = Signature.from_dict(d)
    elif clone:
        d = d.clone()
    if app is not None:
        d._app = app
    return d


maybe_subtask = maybe_signature


def _positional(args: Sequence[Any] | None) -> tuple[Any, ...]:
    if isinstance(args, (str, bytes, Mapping)):
        raise TypeError(f"args of a signature must be a list or tuple, got {type(args).__name__} {args!r:.80}")
    return tuple(args or ())
