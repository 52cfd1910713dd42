"""What several calls have in common when they are sent as one."""

from __future__ import annotations

from typing import Any, TypeVar

from celeriac.canvas.signature import Signature

R_co = TypeVar("R_co", covariant=True)


class Composed(Signature[R_co]):
    """Be made of other signatures. Its result is that of the app for such: of a group, that of its members."""

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Send the calls, completed by these arguments."""
        return self.apply_async(partial_args, partial_kwargs)

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Do what `delay` does without blocking the event loop."""
        return await self.aapply_async(partial_args, partial_kwargs)


class Several(Composed[R_co]):
    """Hold several signatures in `tasks`; its length is their number, and an empty one is true as well."""

    tasks: Any

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True
