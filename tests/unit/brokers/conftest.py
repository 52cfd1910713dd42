from __future__ import annotations

import pytest

pytest.register_assert_rewrite("celeriac.testing.brokers", "celeriac.testing.backends", "celeriac.testing.buses")
