from __future__ import annotations

import time

from observing import PATIENCE, POLL, get, note, notes, program, raised
from shop import app

from celeriac import chain, group


@app.task
def add(x, y):
    return x + y


@app.task
def mul(x, y):
    return x * y


@app.task
def same(value):
    return value


@app.task
def fail(*args):
    raise ValueError("no")


@app.task
def noted_id(task_id):
    note("canvas-errors", task_id)


@app.task(bind=True)
def place(self, *args):
    request = self.request
    return {
        "chain": None if request.chain is None else len(request.chain),
        "in a group": request.group is not None,
        "index": request.group_index,
        "is root": request.root_id == request.id,
        "has parent": request.parent_id is not None,
        "nesting": request.replaced_task_nesting,
    }


@app.task(bind=True)
def replaced_by_call(self, x):
    raise self.replace(add.s(x, 1))


@app.task(bind=True)
def replaced_by_chain(self, x):
    raise self.replace(chain(add.s(x, 1), mul.s(10)))


@app.task(bind=True)
def spawn(self):
    add.delay(1, 1)
    group([add.s(2, 2), add.s(3, 3)]).apply_async()
    chain(add.s(4, 4), mul.s(2)).delay()


def states_of(result):
    found = []
    while result is not None:
        found.append(result.state)
        result = result.parent
    return found


def ended(result):
    """Return what a canvas came to: the value, or the exception, and the states from its end to its beginning."""
    try:
        value = result.get(timeout=PATIENCE, interval=POLL)
    except Exception as error:
        value = repr(error)
    return [value, states_of(result) if hasattr(result, "state") else [each.state for each in result.results]]


@program()
def chains():
    sent = {
        "two": chain(add.s(1, 2), mul.s(3)).delay(),
        "by the operator": (add.s(1, 2) | mul.s(3) | add.s(4)).delay(),
        "partial": chain(add.s(1), add.s(3)).delay(3),
        "fixed": chain(add.s(1, 2), mul.si(3, 3)).delay(),
        "nested": chain(chain(add.s(1, 2), mul.s(3)), chain(add.s(1))).delay(),
        "of one": chain(add.s(1, 2)).delay(),
        "named": chain(add.s(1, 2), mul.s(3)).apply_async(task_id="chain-1"),
        "with options": chain(add.s(1, 2).set(countdown=0), mul.s(3).set(priority=3)).delay(),
        "to a map": chain(add.s(1, 2), same.map([[1], [2]])).delay(),
        "with a group of one": chain(add.s(1, 2), group([mul.s(5)])).delay(),
        "with no group": chain(add.s(1, 2), group([]), mul.s(5)).delay(),
    }
    return {name: ended(result) for name, result in sent.items()} | {"id": sent["named"].id}


@program()
def chains_that_end_in_groups():
    sent = {
        "two members": chain(add.s(1, 1), group([add.s(1), mul.s(5)])).delay(),
        "chains as members": chain(add.s(1, 1), group([add.s(1), chain(mul.s(5), add.s(1))])).delay(),
    }
    return {name: ended(result) for name, result in sent.items()}


def wait_for_steps(result):
    """Wait for the steps before the last one, which may be told of a little later."""
    deadline = time.monotonic() + PATIENCE
    while result is not None:
        while not result.ready() and time.monotonic() < deadline:
            time.sleep(POLL)
        result = result.parent


@program()
def chains_that_fail():
    sent = {
        "at first": chain(fail.s(), same.s()).delay(),
        "in the middle": chain(add.s(1, 1), fail.s(), same.s(), same.s()).delay(),
        "at last": chain(add.s(1, 1), fail.s()).delay(),
    }
    for result in sent.values():
        raised(get, result)
        wait_for_steps(result)
    return {name: ended(result) for name, result in sent.items()}


@program()
def groups():
    sent = {
        "two": group([add.s(1, 2), mul.s(3, 3)]).delay(),
        "partial": group([add.s(1), mul.s(3)]).delay(5),
        "generated": group(add.s(i, i) for i in range(5)).delay(),
        "in each other": group([add.s(1, 1), group([add.s(2, 2), add.s(3, 3)]), chain(add.s(4, 4), mul.s(2))]).delay(),
        "of one": group([add.s(1, 1)]).delay(),
        "of none": group([]).delay(),
        "chunks": add.chunks([(1, 1), (2, 2), (3, 3)], 2).delay(),
        "failing": group([add.s(1, 1), fail.s(), add.s(2, 2)]).delay(),
    }
    return {name: ended(result) for name, result in sent.items()}


@program()
def how_a_group_is():
    result = group([add.s(1, 1), fail.s(), add.s(2, 2)]).delay()
    values = result.get(timeout=PATIENCE, interval=POLL, propagate=False)
    return {
        "values": [repr(value) for value in values],
        "counted": result.completed_count(),
        "so": [result.ready(), result.successful(), result.failed(), result.waiting()],
        "length": len(result),
        "ids": [each.id for each in result]
        == [each.id for each in result.results]
        == [each.id for each in result.children],
        "form": [len(result.as_tuple()[1]), result.as_tuple()[0][0] == result.id],
        "first": result[0].get(timeout=PATIENCE),
    }


@program()
def saved_groups():
    result = group([add.s(1, 1), add.s(2, 2)]).delay()
    result.save()
    again = app.GroupResult.restore(result.id)
    found = [again.id == result.id, again.get(timeout=PATIENCE, interval=POLL)]
    again.delete()
    return {"restored": found, "deleted": app.GroupResult.restore(result.id)}


@program()
def maps():
    sent = {
        "map": same.map([1, 2]).delay(),
        "starmap": add.starmap([(1, 2), (3, 4)]).delay(),
        "map of tuples": add.map(zip(range(3), range(3), strict=True)).delay(1),
    }
    return {
        name: [raised(get, result) if name == "map of tuples" else get(result), result.state]
        for name, result in sent.items()
    }


@program()
def places():
    last = chain(place.s(), place.s(), group([place.s(), place.s()])).delay()
    members = get(last)
    before = last.parent
    return {"members": members, "second": get(before), "first": get(before.parent), "alone": get(place.delay())}


@program()
def replacing():
    sent = {
        "by a call": replaced_by_call.delay(1),
        "by a chain": replaced_by_chain.delay(1),
    }
    return {name: ended(result) for name, result in sent.items()}


@program()
def errbacks_of_chains():
    result = chain(add.s(1, 1), fail.s(), same.s()).apply_async(link_error=noted_id.s())
    kind = raised(get, result)
    return {"raised": kind, "ids": notes("canvas-errors", 1) == [[result.parent.id]]}


@program()
def trees():
    root = spawn.delay()
    get(root)
    kinds = [type(each).__name__ for each in root.children]
    for each in root.children:
        each.get(timeout=PATIENCE, interval=POLL)
    chained = root.children[2]
    deadline = time.monotonic() + PATIENCE
    while not chained.children and time.monotonic() < deadline:
        time.sleep(POLL)
    chained.children[0].get(timeout=PATIENCE, interval=POLL)
    return {"kinds": kinds, "values": sorted(repr(value) for _, value in root.collect())}
