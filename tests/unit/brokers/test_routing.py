from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.routing import compile_routes, route


def queue_of(task_name, routes):
    return route(task_name, compile_routes(routes), "default")


def test_without_routes_every_task_goes_to_the_default_queue():
    assert queue_of("shop.pay", None) == "default"


def test_a_task_that_no_route_names_goes_to_the_default_queue():
    assert queue_of("shop.pay", {"mail.*": "mail"}) == "default"


@pytest.mark.parametrize("target", ["money", {"queue": "money"}])
def test_a_route_names_its_queue_plainly_or_in_a_dict(target):
    assert queue_of("shop.pay", {"shop.pay": target}) == "money"


@pytest.mark.parametrize("glob", ["shop.*", "shop.p?y", "*.pay", "shop.[op]ay"])
def test_a_glob_matches_the_whole_name(glob):
    assert queue_of("shop.pay", {glob: "money"}) == "money"
    assert queue_of("my_shop.pay_all", {glob: "money"}) == "default"


def test_globs_heed_case():
    assert queue_of("Shop.pay", {"shop.*": "money"}) == "default"


def test_an_exact_name_wins_over_a_glob_that_stands_before_it():
    assert queue_of("shop.pay", {"shop.*": "goods", "shop.pay": "money"}) == "money"


def test_the_first_glob_that_matches_wins():
    assert queue_of("shop.pay", {"*.pay": "money", "shop.*": "goods"}) == "money"


def test_pairs_are_as_good_as_a_dict():
    assert queue_of("shop.pay", [("shop.*", "goods"), ("*.pay", {"queue": "money"})]) == "goods"


def test_of_two_pairs_with_one_name_the_first_counts():
    assert queue_of("shop.pay", [("shop.pay", "money"), ("shop.pay", "goods")]) == "money"


def test_tables_are_tried_one_after_the_other_globs_of_the_first_before_names_of_the_second():
    routes = [{"shop.*": "goods"}, {"shop.pay": "money", "mail.send": "mail"}]

    assert queue_of("shop.pay", routes) == "goods"
    assert queue_of("mail.send", routes) == "mail"


def test_a_list_of_pairs_can_be_one_of_several_tables():
    routes = ([("feed.*", {"queue": "feeds"}), ("web.*", {"queue": "web"})],)

    assert queue_of("web.get", routes) == "web"


@pytest.mark.parametrize(
    ("routes", "named"),
    [
        ({"shop.pay": {"queue": "money", "exchange": "x"}}, "exchange"),
        ({"shop.pay": {"exchange": "x"}}, "exchange"),
        ({"shop.pay": {}}, "'shop.pay'"),
        ({"shop.pay": 7}, "'shop.pay'"),
        ({"shop.pay": ""}, "'shop.pay'"),
        ({7: "money"}, "7"),
        ("shop.routes", "str"),
        ([{"a": "b"}, len], "len"),
        (len, "builtin_function"),
    ],
)
def test_what_cannot_be_a_route_is_named(routes, named):
    with pytest.raises(ValueError, match=named):
        compile_routes(routes)


names = st.text("ab.", max_size=4)
globs = st.text("ab.*", max_size=4)
tables = st.dictionaries(globs, st.sampled_from(["q1", "q2"]), max_size=5)


@given(names, st.lists(tables, max_size=3))
def test_every_name_has_exactly_one_queue(name, routes):
    queue = queue_of(name, routes)

    named = {queue for table in routes for queue in table.values()}
    assert queue in named | {"default"}
    assert queue == queue_of(name, routes)
