from __future__ import annotations

import itertools
import json

from observing import make_app, program, raised

from celeriac import chain, chord, group, signature
from celeriac.canvas import StampingVisitor

app = make_app()


@app.task(name="shop.tasks.add")
def add(x, y):
    return x + y


@app.task(name="shop.tasks.mul")
def mul(x, y):
    return x * y


@app.task(name="shop.tasks.total")
def total(numbers):
    return sum(numbers)


PARTS = {
    "call": lambda: add.s(1, 1),
    "fixed": lambda: mul.si(2, 2),
    "group": lambda: group(add.s(1, 1), add.s(2, 2)),
    "group of one": lambda: group(mul.s(3)),
    "no group": group,
    "chain": lambda: chain(add.s(1), mul.s(2)),
    "chain to group": lambda: chain(add.s(1), group(add.s(1), add.s(2))),
    "chord": lambda: chord([add.s(1, 1), add.s(2, 2)], total.s()),
    "group in group": lambda: group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3))),
}


def written(canvas):
    return json.loads(json.dumps(canvas))


def shape(made):
    """Return what a canvas is made of, in few words."""
    made = written(made)
    kwargs = made["kwargs"]
    match made["subtask_type"]:
        case "chain" | "group":
            return [made["subtask_type"], *map(shape, kwargs["tasks"])]
        case "chord":
            header = kwargs["header"]
            return [
                "chord",
                [*map(shape, header)] if isinstance(header, list) else shape(header),
                shape(kwargs["body"]),
            ]
    return [made["task"].rpartition(".")[2], made["args"], made["immutable"], sorted(made["options"])]


@program()
def parts_by_themselves():
    return {name: [shape(make()), shape(chain(make())), shape(chain([make()]))] for name, make in PARTS.items()}


@program()
def two_by_the_operator():
    return {" | ".join(names): shape(combined(names)) for names in itertools.product(PARTS, repeat=2)}


@program()
def two_by_chain():
    return {
        ", ".join(names): shape(chain(*[PARTS[name]() for name in names]))
        for names in itertools.product(PARTS, repeat=2)
    }


@program()
def three_by_the_operator():
    return {" | ".join(names): shape(combined(names)) for names in itertools.product(PARTS, repeat=3)}


@program()
def three_by_chain():
    return {
        ", ".join(names): shape(chain(*[PARTS[name]() for name in names]))
        for names in itertools.product(PARTS, repeat=3)
    }


def combined(names):
    made = PARTS[names[0]]()
    for name in names[1:]:
        made = made | PARTS[name]()
    return made


@program()
def reprs():
    return {
        "call": repr(add.s(2, 3)),
        "chain": repr(add.s(1, 2) | add.s(3)),
        "chord": repr(chord([add.s(1, 1), add.s(2, 2)], total.s())),
        "chord that goes on": repr(chord([add.s(1, 1)], total.s()) | mul.s(2)),
        "no group": repr(group()),
        "map": repr(total.map([[1, 2], [3]])),
        "starmap": repr(add.starmap([(1, 2)])),
        "chunks": repr(add.chunks([(1, 2), (3, 4)], 1)),
        "members": repr(group([add.s(1, 1), mul.s(2, 2)])),
    }


@program()
def links_of_canvases():
    steps = chain(add.s(1, 1), mul.s(2))
    steps.link(total.s())
    steps.link_error(mul.s())
    members = group([add.s(1, 1), mul.s(2, 2)])
    members.link_error(total.s())
    whole = chord([add.s(1, 1)], total.s())
    whole.link(mul.s(3))
    whole.link_error(add.s())
    return {
        "chain": written(steps),
        "chain | call": written(steps | add.s(3)),
        "call | chain": written(add.s(3) | steps),
        "group": written(members),
        "chord": written(whole),
        "flat": [each.task for each in add.s(1).set(link=[mul.s().set(link=[total.s()])]).flatten_links()],
    }


@program()
def what_a_canvas_is_made_of_is_changed_later():
    def parts_of(make):
        first, second = add.s(1, 1), add.s(2)
        made = make(first, second)
        for part in (first, second):
            part.set(queue="later")
        return written(made)

    return {
        "group": parts_of(lambda first, second: group([first, second])),
        "header": parts_of(lambda first, second: chord([first, second], total.s())),
        "header of a group": parts_of(lambda first, second: chord(group([first, second]), total.s())),
        "body": parts_of(lambda first, second: chord([add.s(1, 1)], second)),
        "|": parts_of(lambda first, second: first | second),
    }


@program()
def members_of_groups():
    def delays(*said, count=4):
        members = group([add.s(i, i) for i in range(count)]).skew(*said).tasks
        return [member.options["countdown"] for member in members]

    inner = group(add.s(1, 1), mul.s(2, 2))
    return {
        "a group given to a group": [shape(group(inner)), shape(group([inner]))],
        "a call given to a group": shape(group(add.s(1, 1))),
        "tasks in the header of a chord": shape(chord([add, mul.name, add.s(1, 1)], total.s())),
        "errbacks of members": [written(each) for each in inner.link_error(total.s())],
        "starts": [
            delays(),
            delays(2),
            delays(1, 3),
            delays(1, 4, 1.5),
            delays(0, 9, 3),
            delays(5, 5),
            delays(1, None, 2),
        ],
    }


@program()
def copies_share_nothing():
    steps = chain(add.s(1, 1), mul.s(2))
    copied = steps.clone()
    copied.tasks[1].set(queue="q")
    members = group([add.s(1), mul.s(2)])
    completed = members.clone()
    whole = chord([add.s(1), mul.s(2)], total.s())
    again = whole.clone()
    again.body.set(queue="q")
    return {
        "chain": [written(steps), written(copied)],
        "group": [written(members), written(completed)],
        "chord": [written(whole), written(again)],
        "from json": [written(signature(written(each), app=app)) for each in (steps, members, whole)],
    }


@program()
def mistakes():
    return {
        "a number in a chain": raised(lambda: add.s(1) | 5),
        "a task in a chain": raised(lambda: chain(add, mul)),
        "a link for a group": raised(lambda: group([add.s(1, 1)]).apply_async(link=mul.s(1))),
        "an errback for a group": raised(lambda: group([add.s(1, 1)]).apply_async(link_error=mul.s(1))),
    }


@program()
def canvases_that_are_applied():
    results = {
        "chain": chain(add.s(1, 2), mul.s(3), add.s(4)).apply(),
        "partial": chain(add.s(1), add.s(3)).apply((3,)),
        "fixed": chain(add.s(1, 2), mul.si(3, 3)).apply(),
        "group": group([add.s(1, 1), mul.s(2, 2)]).apply(),
        "partial group": group([add.s(1), mul.s(2)]).apply((5,)),
        "chord": chord([add.s(1, 1), mul.s(2, 2)], total.s()).apply(),
        "chord that goes on": (chord([add.s(1, 1), mul.s(2, 2)], total.s()) | mul.s(2)).apply(),
        "chain with a chord": chain(add.s(1, 1), group([add.s(1), mul.s(2)]), total.s(), mul.s(10)).apply(),
        "map": total.map([[1, 2], [3]]).apply(),
        "starmap": add.starmap([(1, 2), (3, 4)]).apply(),
    }
    return {name: [result.get(), result.successful()] for name, result in results.items()}


@program()
def stamps_of_canvases_in_links():
    class Everywhere(StampingVisitor):
        def on_signature(self, sig, **headers):
            return {"of_call": sig.task}

        def on_group_start(self, sig, **headers):
            return {"of_group": True}

        def on_chain_start(self, sig, **headers):
            return {"of_chain": True}

        def on_chord_body(self, sig, **headers):
            return {"of_body": True}

        def on_callback(self, sig, **headers):
            return {"of_callback": True}

    def names(call):
        return sorted(call.options.get("stamped_headers") or [])

    def stamped(follows):
        call = add.s(1, 1)
        call.link(follows)
        call.stamp(Everywhere())
        return call.options["link"][0]

    whole = stamped(chord([add.s(1), add.s(2)], total.s()))
    return {
        "header": [names(each) for each in whole.tasks.tasks],
        "body": names(whole.body),
        "group": [names(each) for each in stamped(group([mul.s(1), mul.s(2)])).tasks],
        "chain": [names(each) for each in stamped(chain(add.s(3), add.s(4))).tasks],
    }


@program()
def stamps():
    steps = chain(add.s(1, 1).on_error(total.s()), mul.s(2))
    steps.stamp(tenant="t1")
    members = group([add.s(1, 1), mul.s(2, 2)])
    members.stamp(tenant="t1", tags=["a"])
    twice = add.s(1, 1)
    twice.stamp(tenant="t1")
    twice.stamp(tenant="t2")
    gathered = add.s(1, 1)
    gathered.stamp(tenant="t1")
    gathered.stamp(append_stamps=True, tenant="t2")
    return {
        name: stamped(each)
        for name, each in {"chain": steps, "group": members, "twice": twice, "gathered": gathered}.items()
    }


def stamped(canvas):
    made = written(canvas)
    options = made["options"]
    found = [sorted(options.get("stamped_headers", ())), options.get("tenant"), options.get("tags")]
    found += [stamped(each) for each in options.get("link_error", ())]
    return found + [stamped(each) for each in made["kwargs"].get("tasks", ())]
