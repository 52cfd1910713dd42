from __future__ import annotations

import time

from observing import PATIENCE, POLL, differs, get, note, notes, program, raised
from shop import app

from celeriac import chain, chord, group


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
def groups_of_one_that_ends_in_a_group():
    one = chain(add.s(1, 2), group(add.s(1), mul.s(2)))
    sent = {
        "a chain": group([one]).apply_async(),
        "a chord": group([chord([same.s(1), same.s(2)], group([same.s(), same.s()]))]).apply_async(),
        "beside another": group([one, same.s(7)]).apply_async(),
    }
    return {
        what: [get(result), len(result.results), [type(each).__name__ for each in result.results]]
        for what, result in sent.items()
    }


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


@app.task
def total(values):
    return sum(values)


@app.task
def listed(*values):
    return list(values)


@app.task
def noted_error(request, exc, traceback):
    note("chord-errors", type(exc).__name__)


@app.task(bind=True)
def replaced_by_group(self, x):
    raise self.replace(group([add.s(x, 1), mul.s(x, 10)]))


@app.task(bind=True)
def replaced_by_none(self):
    raise self.replace(group([]))


@app.task(bind=True)
def replaced_by_chord(self, x):
    raise self.replace(chord([add.s(x, 1), mul.s(x, 10)], total.s()))


@app.task(bind=True)
def replaced_by_replaced(self, x):
    raise self.replace(replaced_by_group.s(x))


@app.task(bind=True)
def retried(self, x):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return x


def pair():
    return [add.s(1, 1), mul.s(3, 3)]


def came_to(result):
    """Return the value, or what it failed with, once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while not result.ready() and time.monotonic() < deadline:
        time.sleep(POLL)
    value = result.get(timeout=PATIENCE, interval=POLL, propagate=False)
    if isinstance(value, Exception):
        return [type(value).__name__, result.state]
    return value


@program()
def chords():
    sent = {
        "two": chord(pair(), total.s()).delay(),
        "called": chord(pair())(total.s()),
        "of one": chord([add.s(1, 1)], listed.s()).delay(),
        "of a generator": chord((add.s(i, i) for i in range(5)), total.s()).delay(),
        "partial": chord([add.s(1), mul.s(3)], total.s()).delay(5),
        "with arguments of its body": chord(pair(), listed.s(7)).delay(),
        "immutable": chord(pair(), add.si(5, 5)).delay(),
        "by the operator": (group(pair()) | total.s()).delay(),
        "and on": (group(pair()) | total.s() | add.s(1)).delay(),
        "in a chain": chain(add.s(1, 1), group([add.s(1), mul.s(5)]), total.s(), add.s(1)).delay(),
        "twice in a chain": chain(group(pair()), group([total.s(), listed.s()]), listed.s()).delay(),
        "body is a chain": chord(pair(), chain(total.s(), add.s(3), mul.s(2))).delay(),
        "body is a group": chord(pair(), group([total.s(), listed.s()])).delay(),
        "body is a chord": chord(pair(), chord([total.s(), total.s()], listed.s())).delay(),
        "chain in its header": chord([chain(add.s(1, 1), mul.s(2)), add.s(3, 3)], listed.s()).delay(),
        "chord in its header": chord([chord(pair(), total.s()), add.s(3, 3)], listed.s()).delay(),
        "map as a member": chord([same.map([1, 2]), add.s(1, 1)], listed.s()).delay(),
        "chunks as its header": (add.chunks([(1, 1), (2, 2), (3, 3)], 2).group() | listed.s()).delay(),
        "retried": chord([retried.s(4), *pair()], listed.s()).delay(),
        "replaced": chord([replaced_by_chain.s(4), *pair()], listed.s()).delay(),
        "map as its body": chord(pair(), same.map([[1], [2]])).delay(),
    }
    return {name: came_to(result) for name, result in sent.items()}


@program(
    differs("a chord in the header", celery="PENDING", ours="FAILURE", row="a chord with a chord in its header"),
    differs("raised", celery="ValueError", ours="ChordError", row="`get()` of a chord raises"),
)
def chords_that_fail():
    sent = {
        "a member": chord([fail.s(), *pair()], total.s()).delay(),
        "a step of a member": chord([chain(add.s(1, 1), fail.s(), same.s()), *pair()], total.s()).delay(),
        "the body": chord(pair(), fail.s()).delay(),
        "what follows the body": (group(pair()) | total.s() | fail.s()).delay(),
    }
    inner = chord([fail.s()], total.s())
    outer = chord([inner, *pair()], listed.s()).delay()
    found = {name: came_to(result) for name, result in sent.items()}
    states = [outer.state]
    while states[-1] == "PENDING" and len(states) < 30:
        time.sleep(POLL)
        states.append(outer.state)
    return found | {"raised": raised(get, sent["a member"]), "a chord in the header": states[-1]}


@program()
def replacing_by_several():
    sent = {
        "by a group": replaced_by_group.delay(2),
        "by a chord": replaced_by_chord.delay(2),
        "by what is replaced": replaced_by_replaced.delay(2),
        "by a group, in a chain": chain(replaced_by_group.s(2), listed.s()).delay(),
        "by a chord, in a chain": chain(replaced_by_chord.s(2), add.s(1)).delay(),
        "by a group, in a group": group([replaced_by_group.s(2), add.s(1, 1)]).delay(),
        "by a chord, in a header": chord([replaced_by_chord.s(2), add.s(1, 1)], listed.s()).delay(),
        "by an empty group": replaced_by_none.delay(),
        "by an empty group, in a chain": chain(replaced_by_none.s(), listed.s()).delay(),
        "by an empty group, in a header": chord([replaced_by_none.s(), add.s(1, 1)], listed.s()).delay(),
    }
    return {name: came_to(result) for name, result in sent.items()}


@program()
def errbacks_of_chords():
    body = total.s().on_error(noted_error.s())
    result = chord([add.s(1, 1), fail.s()], body).delay()
    return {"came to": came_to(result), "errbacks": notes("chord-errors", 1)}
