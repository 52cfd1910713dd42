"""A module with settings, as programs have them."""

from __future__ import annotations

from collections import OrderedDict as Queue

task_default_queue = "goods"
task_default_priority = 7
SHOP_TASK_ROUTES: dict[str, str] = Queue()
GOODS_ROUTING = "goods.#"
