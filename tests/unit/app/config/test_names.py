from __future__ import annotations

import pytest

from celeriac.app.config.names import Names
from celeriac.exceptions import ImproperlyConfigured

PLAIN = Names()
CELERY = Names(namespace="CELERY")


@pytest.mark.parametrize("key", ["task_acks_late", "CELERY_ACKS_LATE"])
def test_a_setting_is_found_by_its_new_and_its_old_name(key):
    assert PLAIN.find(key) == "task_acks_late"


@pytest.mark.parametrize("key", ["CELERY_TASK_ACKS_LATE", "task_acks_late", "CELERY_ACKS_LATE"])
def test_with_a_namespace_the_prefixed_name_is_found_as_well(key):
    assert CELERY.find(key) == "task_acks_late"


@pytest.mark.parametrize(
    ("namespace", "key"),
    [
        ("shop", "shop_task_acks_late"),
        ("shop_", "shop_task_acks_late"),
        ("SHOP", "SHOP_TASK_ACKS_LATE"),
        ("Shop", "Shop_task_acks_late"),
    ],
)
def test_the_case_of_a_namespace_is_that_of_its_names(namespace, key):
    names = Names(namespace=namespace)

    assert names.find(key) == "task_acks_late"
    assert names.written("task_acks_late") == key


@pytest.mark.parametrize(
    "key", ["celery_task_acks_late", "CELERY_task_acks_late", "Celery_TASK_ACKS_LATE", "acks_late"]
)
def test_a_prefix_in_another_case_is_not_that_prefix(key):
    assert PLAIN.find(key) is None
    assert Names(namespace="CELERY").find(key) == ("task_acks_late" if key == "CELERY_task_acks_late" else None)


@pytest.mark.parametrize(
    "key",
    [
        "task_acks_lat",
        "worker_x",
        "beat_x",
        "result_x",
        "dead_letter_x",
        "CELERY_X",
        "CELERYD_X",
        "CELERYBEAT_X",
        "BROKER_X",
    ],
)
def test_names_that_begin_like_settings_claim_to_be_some(key):
    assert PLAIN.claims(key)


@pytest.mark.parametrize("key", ["include", "timezone", "ENABLE_UTC", "S3_BUCKET", "visibility_timeout"])
def test_names_of_settings_claim_it_however_they_begin(key):
    assert PLAIN.claims(key)


@pytest.mark.parametrize(
    "key", ["Exchange", "Queue", "MAIL_ROUTING", "tasks", "task", "TASK_X", "Task_x", "message", "celery_app", "BROKER"]
)
def test_other_names_claim_nothing(key):
    assert not PLAIN.claims(key)
    assert not CELERY.claims(key)


def test_with_a_namespace_whatever_has_the_prefix_claims_to_be_a_setting():
    assert Names(namespace="SHOP").claims("SHOP_ANYTHING")
    assert not PLAIN.claims("SHOP_ANYTHING")


def test_mixing_old_and_new_names_is_answered_with_the_renames():
    with pytest.raises(ImproperlyConfigured) as caught:
        PLAIN.refuse_mixed(["task_serializer", "result_expires", "CELERY_ACKS_LATE"], "module shop")

    assert str(caught.value) == (
        "module shop has both new and old names of settings; rename these:\n    CELERY_ACKS_LATE -> task_acks_late"
    )


def test_where_most_names_are_old_the_new_ones_are_to_be_renamed():
    with pytest.raises(ImproperlyConfigured, match="task_routes -> CELERY_ROUTES"):
        PLAIN.refuse_mixed(["CELERY_ACKS_LATE", "CELERYD_POOL", "task_routes"], "module shop")


def test_where_there_are_as_many_of_both_the_old_ones_are_to_be_renamed():
    with pytest.raises(ImproperlyConfigured, match="CELERYD_POOL -> worker_pool"):
        PLAIN.refuse_mixed(["CELERYD_POOL", "task_routes"], "module shop")


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (PLAIN, ["task_routes", "worker_pool", "CELERYD_POOL"]),  # both names of one setting
        (PLAIN, ["CELERYD_POOL", "CELERY_ROUTES", "task_max_crashes"]),  # ours have no old name
        (PLAIN, ["CELERYD_POOL", "MY_OWN"]),
        (CELERY, ["CELERY_TASK_ROUTES", "BROKER_URL", "worker_pool"]),  # a prefix tells them apart
    ],
)
def test_what_cannot_be_confused_may_stand_together(names, keys):
    names.refuse_mixed(keys, "module shop")


@pytest.mark.parametrize(
    ("names", "key", "nearest"),
    [
        (PLAIN, "task_acks_lat", "task_acks_late"),
        (PLAIN, "CELERYD_CONCURENCY", "CELERYD_CONCURRENCY"),
        (PLAIN, "CELERY_TASK_ACKS_LATE", "task_acks_late"),
        (PLAIN, "brokerurl", "broker_url"),
        (CELERY, "CELERY_TASK_ACKS_LAT", "CELERY_TASK_ACKS_LATE"),
        (Names(namespace="SHOP"), "CELERY_TASK_ACKS_LATEE", "SHOP_TASK_ACKS_LATE"),
        (PLAIN, "zzz", None),
    ],
)
def test_the_nearest_name_is_written_as_it_would_have_to_be(names, key, nearest):
    assert names.nearest(key) == nearest


def test_an_unknown_name_is_described_by_type_and_source_and_never_by_value():
    error = PLAIN.unknown("task_acks_lat", "hunter2", "conf.update")

    assert str(error) == (
        "there is no setting 'task_acks_lat' (a str from conf.update); did you mean 'task_acks_late'?"
    )


def test_a_prefix_that_needs_a_namespace_is_answered_with_it():
    error = PLAIN.unknown("CELERY_TASK_ACKS_LATE", True, "module shop")

    assert "namespace='CELERY'" in str(error)


def test_names_that_a_program_adds_are_settings_that_may_be_anything():
    names = PLAIN.also_known(["shop_limit", "task_routes"])

    assert names.find("shop_limit") == "shop_limit"
    assert names.table["shop_limit"].kind.accept({"a": 1}) == {"a": 1}
    assert PLAIN.find("shop_limit") is None
    assert names.table["task_routes"] is PLAIN.table["task_routes"]
