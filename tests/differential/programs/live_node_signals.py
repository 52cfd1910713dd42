from __future__ import annotations

from observing import note, notes, program, raised
from shop import app

from celeriac import signals


def _said_by(sender):
    if sender is None or isinstance(sender, str):
        return sender
    return {"hostname": getattr(sender, "hostname", None), "is of the app": getattr(sender, "app", None) is app}


def _note(of, name, sender, named):
    named.pop("signal")
    note(of, name, _said_by(sender), sorted(named))


@signals.celeryd_init.connect
def configured(sender=None, **named):
    instance = named["instance"]
    known = instance.hostname, instance.app is app, named["conf"] is app.conf, named["options"]["concurrency"]
    note("node-details", *known)
    _note("node", "celeryd_init", sender, named)


@signals.worker_init.connect
def begins(sender=None, **named):
    _note("node", "worker_init", sender, named)


@signals.after_setup_logger.connect
def logger_set_up(sender=None, **named):
    note("node-logging", type(named["loglevel"]).__name__, named["logfile"], named["format"], named["colorize"])
    _note("node", "after_setup_logger", sender, named)


@signals.after_setup_task_logger.connect
def task_logger_set_up(sender=None, **named):
    note("node-logging", type(named["loglevel"]).__name__, named["logfile"], named["format"], named["colorize"])
    _note("node", "after_setup_task_logger", sender, named)


@signals.celeryd_after_setup.connect
def set_up(sender=None, **named):
    note("node-setup", named["instance"].concurrency, named["conf"] is app.conf)
    _note("node", "celeryd_after_setup", sender, named)


@signals.worker_process_init.connect
def child_begins(sender=None, **named):
    _note("node-children", "worker_process_init", sender, named)


@signals.worker_ready.connect
def ready(sender=None, **named):
    _note("node", "worker_ready", sender, named)
    note("node-ready", "yes")


@program()
def signals_of_a_node_that_starts():
    notes("node-ready", 1)
    seen = notes("node", 6)
    # Each of several processes may tell of its own beginning.
    once = [one for at, one in enumerate(seen) if one not in seen[:at]]
    return {"in the node": once, "in children": notes("node-children", 4)}


@program()
def what_an_instance_knows():
    return {"configured": notes("node-details", 1)[0], "set up": notes("node-setup", 1)[0]}


@program()
def what_receivers_learn_of_logging():
    return {"seen": sorted(set(notes("node-logging", 2)))}


@app.task
def received(x, y=1):
    return x + y


@signals.task_received.connect
def note_received(sender=None, request=None, **_):
    if request.id.startswith("claimed-"):
        about = request.name, request.id, list(request.args), request.kwargs, request.root_id, request.hostname
        note(request.id, "received", _said_by(sender), *about)
        info = request.info()
        note(
            f"{request.id}-as-request",
            [request.task.name, request.type, request.task_name, request.app is app, request.humaninfo()],
            [request.eta is None, request.expires and request.expires.timestamp() > 1_000_000_000],
            [list(request.time_limits), request.request_dict["task"], request.message.headers["id"]],
            [sorted(info), info["type"], list(info["args"]), request.info(safe=True)["args"]],
            [request.headers if hasattr(request, "tenant") else None, type(request.body).__name__],
        )


@signals.task_unknown.connect
def note_unknown(sender=None, message=None, exc=None, name=None, id=None, **_):
    if id == "claimed-unknown":
        about = message.headers["task"], message.headers["id"], message.payload[0], message.content_type
        note(id, "unknown", _said_by(sender), name, isinstance(exc, KeyError), *about)


@signals.task_revoked.connect
def note_revoked(sender=None, request=None, terminated=None, signum=None, expired=None, **_):
    note(request.id, "revoked", sender.name, terminated, signum, expired)


@program()
def a_claimed_message_is_told():
    received.apply_async((2,), {"y": 3}, task_id="claimed-1").get(timeout=20)
    return {"seen": notes("claimed-1", 1)}


@program()
def what_the_request_of_a_claimed_message_tells():
    received.apply_async((2,), task_id="claimed-2", expires=60, time_limit=9).get(timeout=20)
    return {"seen": notes("claimed-2-as-request", 1)}


@program()
def an_unknown_task_is_told():
    app.send_task("nobody.knows", (1,), task_id="claimed-unknown")
    return {"seen": notes("claimed-unknown", 1)[:1]}


@program()
def an_expired_message_is_told_as_revoked_and_not_as_received():
    late = received.apply_async((2,), task_id="claimed-late", expires=-1)
    return {"result": raised(late.get, timeout=20), "seen": notes("claimed-late", 1)}
