from __future__ import annotations

import pickle

from observing import differs, make_app, program, raised, raised_text

from celeriac import exceptions, states

TREE = [
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CDeprecationWarning",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "CPendingDeprecationWarning",
    "DuplicateNodenameWarning",
    "FixupWarning",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotConfigured",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "SecurityError",
    "SecurityWarning",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
    "WorkerShutdown",
    "WorkerTerminate",
]


def _family(cls):
    names = {getattr(exceptions, name): name for name in TREE}  # a class may have another name of its own
    return [names.get(base, base.__name__) for base in cls.__mro__ if base not in (BaseException, Exception, object)]


ROW = "Celery's `TimeoutError` is not Python's"


@program(
    differs(
        "TimeoutError",
        celery=["TimeoutError", "TaskError", "CeleryError"],
        ours=["TimeoutError", "TimeoutError", "OSError", "TaskError", "CeleryError"],
        row=ROW,
    ),
    differs(
        "OperationalError", celery=["OperationalError", "KombuError"], ours=["OperationalError", "CeleryError"], row=ROW
    ),
    differs("BackendError", celery=["BackendError"], ours=["BackendError", "OperationalError", "CeleryError"], row=ROW),
    differs(
        "BackendGetMetaError",
        celery=["BackendGetMetaError", "BackendError"],
        ours=["BackendGetMetaError", "BackendError", "OperationalError", "CeleryError"],
        row=ROW,
    ),
    differs(
        "BackendStoreError",
        celery=["BackendStoreError", "BackendError"],
        ours=["BackendStoreError", "BackendError", "OperationalError", "CeleryError"],
        row=ROW,
    ),
)
def the_tree_of_exceptions():
    return {name: _family(getattr(exceptions, name)) for name in TREE}


@program()
def what_ignore_and_reject_say():
    reject = exceptions.Reject("spam", requeue=True)
    return {
        "ignore": [str(exceptions.Ignore()), raised(lambda: (_ for _ in ()).throw(exceptions.Ignore()))],
        "reject": [reject.reason, reject.requeue, repr(reject), str(reject)],
        "reject by default": [exceptions.Reject().reason, exceptions.Reject().requeue],
        "predicates": [
            isinstance(reject, exceptions.TaskPredicate),
            isinstance(exceptions.Ignore(), exceptions.TaskPredicate),
        ],
        "pickled": pickle.loads(pickle.dumps(reject)).reason,
    }


@program()
def exceptions_that_carry_facts():
    backend = exceptions.BackendGetMetaError("lost", task_id="an-id")
    store = exceptions.BackendStoreError("lost", task_id="an-id", state="SUCCESS")
    terminated = exceptions.Terminated(15)
    unknown = exceptions.NotRegistered("shop.pay")
    return {
        "get": [backend.task_id, "an-id" in repr(backend)],
        "store": [store.task_id, store.state, "SUCCESS" in repr(store)],
        "terminated": list(terminated.args),
        "not registered": list(unknown.args),
        "too many": exceptions.MaxRetriesExceededError("over", task_args=[1], task_kwargs={"a": 2}).task_args,
        "shutdown": exceptions.WorkerShutdown(3).code,
    }


@program()
def exceptions_are_pickled():
    app = make_app()

    @app.task(bind=True, max_retries=0)
    def gives_up(self):
        raise self.retry()

    raised_one = gives_up.apply((), task_id="an-id").result
    return {
        "too many": str(pickle.loads(pickle.dumps(raised_one))),
        "timeout": type(pickle.loads(pickle.dumps(exceptions.TimeoutError("late")))).__name__,
        "revoked": list(pickle.loads(pickle.dumps(exceptions.TaskRevokedError("revoked"))).args),
        "not registered": list(pickle.loads(pickle.dumps(exceptions.NotRegistered("shop.pay"))).args),
    }


@program()
def expected_errors_are_failures_too():
    app = make_app()

    @app.task(throws=(KeyError,))
    def lookup():
        raise KeyError("expected")

    result = lookup.apply()
    return {"state": result.state, "raised": raised_text(result.get), "throws": [one.__name__ for one in lookup.throws]}


@program()
def errors_are_chained_as_in_python():
    app = make_app()

    @app.task
    def chained():
        try:
            raise KeyError("first")
        except KeyError as exc:
            raise ValueError("second") from exc

    result = chained.apply()
    return {
        "cause": result.result.__cause__,
        "traceback": ["KeyError: 'first'" in result.traceback, "ValueError: second" in result.traceback],
        "order": result.traceback.index("first") < result.traceback.index("second"),
    }


class Refused(Exception):
    def __init__(self, code, reason="none"):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@program()
def exceptions_of_ones_own():
    app = make_app()

    @app.task
    def refuse():
        raise Refused(402, reason="no money")

    result = refuse.apply()
    return {
        "attributes": [result.result.code, result.result.reason],
        "is one": isinstance(result.result, Refused),
        "last line": result.traceback.strip().splitlines()[-1].split(".")[-1],
    }


@program()
def states_and_their_groups():
    groups = ["READY_STATES", "UNREADY_STATES", "EXCEPTION_STATES", "PROPAGATE_STATES", "ALL_STATES"]
    names = ["PENDING", "RECEIVED", "STARTED", "SUCCESS", "FAILURE", "REVOKED", "REJECTED", "RETRY", "IGNORED"]
    return {
        **{name: set(getattr(states, name)) for name in groups},
        **{name: getattr(states, name) for name in names},
        "precedence": [states.precedence(name) for name in (*names, "CUSTOM")],
        "order": list(states.PRECEDENCE),
    }


@program()
def states_are_ordered():
    state = states.state
    return {
        "less": [
            state("PENDING") < state("SUCCESS"),
            state("SUCCESS") < state("FAILURE"),
            state("PROGRESS") < state("SUCCESS"),
        ],
        "greater": [
            state("SUCCESS") > state("STARTED"),
            state("STARTED") >= state("STARTED"),
            state("FAILURE") <= state("RETRY"),
        ],
        "custom": [state("PROGRESS") > state("PENDING"), state("PROGRESS") > state("SUCCESS")],
        "text": [state("SUCCESS") == "SUCCESS", isinstance(state("X"), str)],
    }
