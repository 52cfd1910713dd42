"""Results as messages to whoever has called, over RabbitMQ: `rpc://`."""

from __future__ import annotations

from celeriac.backends.rpc.backend import RpcBackend

__all__ = ["RpcBackend"]
