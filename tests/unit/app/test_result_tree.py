from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import AsyncResult, Celery
from celeriac.app.result_tree import ResultGraph, result_from_tuple
from celeriac.exceptions import DecodeError, IncompleteStream


def sends(store, sender, *children, state="SUCCESS", result=None):
    store(sender, state, result, children=[[[child, None], None] for child in children])


def test_a_result_is_made_of_the_form_that_it_gives(app):
    first = app.AsyncResult("a")
    second = app.AsyncResult("b", parent=first)

    again: Any = result_from_tuple(second.as_tuple(), app)

    assert (again, again.parent, again.parent.parent) == (second, first, None)
    assert second.as_list() == again.as_list() == ["b", "a"]


def test_forms_may_be_short_or_results_already(app):
    result = app.AsyncResult("a")

    assert result_from_tuple(("a", None), app) == result
    assert result_from_tuple(result, app) is result


def test_a_result_belongs_to_the_current_app_where_none_is_named(app):
    assert result_from_tuple([["a", None], None]).app is app


@pytest.mark.parametrize("form", ["abc", 7, None, [1, 2, 3], [[1, 2, 3], None]])
def test_what_is_no_form_of_a_result_is_refused(app, form):
    with pytest.raises(DecodeError, match=r"\[\[id, parent\], children\]"):
        result_from_tuple(form, app)


def test_the_form_of_a_group_is_the_group_and_its_members(app):
    group = result_from_tuple([["g-1", ["p", None]], [[["a", None], None]]], app)

    assert (type(group).__name__, group.id, group.parent.id) == ("GroupResult", "g-1", "p")
    assert [member.id for member in group] == ["a"]


@given(ids=st.lists(st.text(min_size=1), min_size=1, max_size=20))
def test_chains_of_any_length_come_back(ids):
    app = Celery("shop", broker="memory://chains", set_as_current=False)
    result: Any = None
    for task_id in ids:
        result = AsyncResult(task_id, app=app, parent=result)

    assert result_from_tuple(result.as_tuple(), app).as_list() == ids[::-1]


def test_the_tree_of_what_was_sent_is_walked_level_by_level(app, store):
    sends(store, "root", "a", "b", result=0)
    sends(store, "a", "c", result=1)
    sends(store, "b", result=2)
    sends(store, "c", result=3)
    root = app.AsyncResult("root")

    assert list(root.iterdeps()) == [(None, "root"), ("root", "a"), ("root", "b"), ("a", "c")]
    assert list(root.collect()) == [("root", 0), ("a", 1), ("b", 2), ("c", 3)]
    assert root.get_leaf() == 3
    assert root.children == ["a", "b"]


def test_a_tree_whose_end_is_not_known_is_refused_or_followed_as_far_as_it_goes(app, store):
    sends(store, "root", "a")
    root = app.AsyncResult("root")

    with pytest.raises(IncompleteStream, match="run a is PENDING"):
        list(root.iterdeps())
    assert list(root.iterdeps(intermediate=True)) == [(None, "root"), ("root", "a")]


def test_children_are_not_known_before_the_end(app, store):
    store("run-2", "SUCCESS", 1, children=None)

    assert app.AsyncResult("run-1").children is None
    assert app.AsyncResult("run-2").children is None


def test_a_graph_says_who_sent_what(app, store):
    sends(store, "root", "a", "b")
    sends(store, "a", "c")
    sends(store, "b")
    sends(store, "c")

    graph = app.AsyncResult("root").graph

    assert dict(graph.items()) == {"root": ["a", "b"], "a": ["c"], "b": [], "c": []}
    assert (list(graph), len(graph), "a" in graph, graph["a"]) == (["root", "a", "b", "c"], 4, True, ["c"])
    assert graph.edges() == ["root", "a"]
    assert graph.topsort() == ["c", "b", "a", "root"]
    assert repr(graph) == "<ResultGraph: 4 results>"


def test_a_graph_is_written_for_graphviz(app):
    root, odd = app.AsyncResult("root"), app.AsyncResult('a"\\')
    file = io.StringIO()

    ResultGraph([(None, root), (root, odd)]).to_dot(file)

    assert file.getvalue() == 'digraph results {\n  "root";\n  "root" -> "a\\"\\\\";\n  "a\\"\\\\";\n}\n'
