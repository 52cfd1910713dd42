"""`celeriac amqp`: single commands to RabbitMQ, with Celery's names and arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from celeriac.cli.apps import open_app
from celeriac.cli.output import plural
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session
from celeriac.exceptions import BrokerUnavailable, OperationalError

if TYPE_CHECKING:
    from celeriac.brokers.amqp.administration import Administration, Found

NOTHING_THERE: Final = 1
"""Exit code of a look into a queue that is empty."""


Body = TypeVar("Body", bound=Callable[..., Any])


def _flag(name: str) -> Callable[[Body], Body]:
    return click.argument(name, type=bool, default=False)


@click.group("amqp", cls=Group)
def amqp() -> None:
    """Give single commands to RabbitMQ: declare, bind, delete, look, publish.

    Arguments are Celery's, in its order; those in brackets are false unless said. Each command has a connection of its
    own, and asks nothing before it deletes.
    """


@amqp.command("exchange.declare")
@click.argument("exchange")
@click.argument("type")
@_flag("passive")
@_flag("durable")
@_flag("auto_delete")
@pass_session
def declare_exchange(
    session: Session, /, exchange: str, type: str, passive: bool, durable: bool, auto_delete: bool
) -> None:
    """Make an exchange of a type: direct, topic, fanout or headers.

    Tasks want durable ones. PASSIVE only sees whether it is there.
    """
    with _on_server(session) as server:
        server.declare_exchange(exchange, type, passive=passive, durable=durable, auto_delete=auto_delete)
    _done(session, exchange=exchange)


@amqp.command("exchange.delete")
@click.argument("exchange")
@_flag("if_unused")
@pass_session
def delete_exchange(session: Session, /, exchange: str, if_unused: bool) -> None:
    """Delete an exchange; with IF_UNUSED only when nothing is bound to it."""
    with _on_server(session) as server:
        server.delete_exchange(exchange, if_unused=if_unused)
    _done(session, exchange=exchange)


@amqp.command("queue.bind")
@click.argument("queue")
@click.argument("exchange")
@click.argument("routing_key")
@pass_session
def bind_queue(session: Session, /, queue: str, exchange: str, routing_key: str) -> None:
    """Lead what comes to an exchange with a routing key to a queue."""
    with _on_server(session) as server:
        server.bind_queue(queue, exchange, routing_key)
    _done(session, queue=queue, exchange=exchange, routing_key=routing_key)


@amqp.command("queue.declare")
@click.argument("queue")
@_flag("passive")
@_flag("durable")
@_flag("auto_delete")
@pass_session
def declare_queue(session: Session, /, queue: str, passive: bool, durable: bool, auto_delete: bool) -> None:
    """Make a queue, and count what is in it.

    Tasks want durable ones. PASSIVE only looks at what is there. Workers declare the queues of their tasks themselves,
    with all that the settings say.
    """
    with _on_server(session) as server:
        name, messages, consumers = server.declare_queue(
            queue, passive=passive, durable=durable, auto_delete=auto_delete
        )
    if session.json:
        session.output.document({"queue": name, "messages": messages, "consumers": consumers})
    else:
        session.output.line(f"queue:{name} messages:{messages} consumers:{consumers}")


@amqp.command("queue.delete")
@click.argument("queue")
@_flag("if_unused")
@_flag("if_empty")
@pass_session
def delete_queue(session: Session, /, queue: str, if_unused: bool, if_empty: bool) -> None:
    """Delete a queue and what waits in it; with IF_UNUSED and IF_EMPTY only without consumers, without messages."""
    with _on_server(session) as server:
        count = server.delete_queue(queue, if_unused=if_unused, if_empty=if_empty)
    _deleted(session, queue, count)


@amqp.command("queue.purge")
@click.argument("queue")
@pass_session
def purge_queue(session: Session, /, queue: str) -> None:
    """Delete what waits in a queue. What workers have claimed stays."""
    with _on_server(session) as server:
        count = server.purge_queue(queue)
    _deleted(session, queue, count)


@amqp.command("basic.get")
@click.argument("queue")
@_flag("no_ack")
@pass_session
def get(session: Session, /, queue: str, no_ack: bool) -> int:
    """Print the next message of a queue; with NO_ACK it is deleted, else it goes back to its place."""
    with _on_server(session) as server:
        found = server.get(queue, keep=not no_ack)
    if found is None:
        session.output.say(f"No message waits in {queue}.")
        return NOTHING_THERE
    session.output.document(_shown(found))
    return 0


@amqp.command("basic.publish")
@click.argument("msg")
@click.argument("exchange")
@click.argument("routing_key")
@_flag("mandatory")
@_flag("immediate")
@pass_session
def publish(session: Session, /, msg: str, exchange: str, routing_key: str, mandatory: bool, immediate: bool) -> None:
    """Publish a text, which is no task: workers make a dead letter of it. `celeriac call` calls tasks.

    EXCHANGE "" leads to the queue that ROUTING_KEY names. Without MANDATORY RabbitMQ drops what no queue takes.
    """
    if immediate:
        raise click.UsageError("RabbitMQ has no `immediate` since 3.0; leave it out")
    with _on_server(session) as server:
        server.publish(msg, exchange, routing_key, mandatory=mandatory)
    _done(session, exchange=exchange, routing_key=routing_key)


@amqp.command("basic.ack", hidden=True)
@click.argument("delivery_tag", type=int)
def ack(delivery_tag: int) -> None:
    """Say why there is nothing to acknowledge."""
    raise click.UsageError(
        "basic.ack has nothing to acknowledge: each command has a connection of its own, and what another has got is "
        "back in its queue. `celeriac amqp basic.get QUEUE true` takes a message out for good."
    )


@amqp.command("repl", hidden=True)
def repl() -> None:
    """Say what to do without an interactive shell."""
    raise click.UsageError(
        "there is no interactive shell of AMQP: give each command by itself, `celeriac amqp --help` lists them"
    )


@contextlib.contextmanager
def _on_server(session: Session) -> Iterator[Administration]:
    """Lend what gives commands; what the server refuses is an error of the command."""
    broker = open_app(session).broker
    if not broker.url.startswith(("amqp:", "amqps:")):
        raise click.UsageError(
            f"the broker is {broker.url}, and these are commands of AMQP; see `celeriac queue list`, `celeriac purge` "
            "and `celeriac list bindings`, or name a RabbitMQ with -b amqp://..."
        )
    from celeriac.brokers.amqp.broker import AmqpBroker  # needs the driver, which is optional: celeriac[amqp]

    assert isinstance(broker, AmqpBroker), "the URL says so"
    try:
        yield broker.administration()
    except BrokerUnavailable:
        raise
    except OperationalError as error:
        raise click.ClickException(str(error)) from error
    finally:
        broker.close()


def _done(session: Session, **what: str) -> None:
    if session.json:
        session.output.document({"done": True, **what})
    else:
        session.output.line("OK")


def _deleted(session: Session, queue: str, count: int) -> None:
    if session.json:
        session.output.document({"queue": queue, "deleted": count})
    else:
        session.output.line(f"{count:,} {plural('message', count)} deleted.")


def _shown(found: Found) -> dict[str, Any]:
    return {
        "body": found.body.decode(errors="backslashreplace"),
        "properties": found.properties,
        "headers": found.headers,
        "delivery_info": found.delivery_info,
    }
