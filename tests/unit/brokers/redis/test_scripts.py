from __future__ import annotations

import re
from importlib.resources import files

import pytest
import redis

from celeriac.brokers.redis.scripts import script

FILES = sorted(file.name.removesuffix(".lua") for file in (files("celeriac.brokers.redis") / "lua").iterdir())


@pytest.mark.parametrize("name", FILES)
def test_redis_takes_every_script_and_knows_it_by_its_digest(redis_db, name):
    with redis.Redis.from_url(redis_db) as client:
        assert client.script_load(script(name).text) in (script(name).sha, script(name).sha.encode())


@pytest.mark.parametrize("name", FILES)
def test_every_script_says_what_it_does_before_it_does_it(name):
    source = (files("celeriac.brokers.redis") / "lua" / f"{name}.lua").read_text()
    comment = source.partition("\n-- include")[0] if "KEYS" in source else source

    assert source.startswith("-- ")
    if re.search(r"^(local .*= *|return .*)?redis\.call|^if redis\.call", source, re.MULTILINE):
        assert re.search(r"^--   KEYS  ", comment, re.MULTILINE)
        assert re.search(r"^-- Returns? ", comment, re.MULTILINE)


def test_an_include_stands_for_its_file():
    text = script("claim").text

    assert "-- include" not in text
    assert "local function server_now" in text
    assert script("claim") is script("claim")
