"""What every broker must do, as a suite for pytest.

    class TestMemoryBroker(BrokerConformance):
        @pytest.fixture
        def world(self):
            world = MemoryWorld()
            yield world
            world.end()

pytest shows the values in failed assertions when `pytest.register_assert_rewrite("celeriac.testing.brokers")` runs
before the import.
"""

from __future__ import annotations

from celeriac.testing.brokers.exchanges import Exchanges
from celeriac.testing.brokers.leases import LeasesAndFences
from celeriac.testing.brokers.opening import BrokersThemselves
from celeriac.testing.brokers.priorities import Priorities
from celeriac.testing.brokers.publishing import PublishAndClaim
from celeriac.testing.brokers.queues import QueuesAndDeadLetters
from celeriac.testing.brokers.rates import RateLimits
from celeriac.testing.brokers.revocations import Revocations
from celeriac.testing.brokers.rooms import Rooms
from celeriac.testing.brokers.settling import SettleAndRelease
from celeriac.testing.brokers.suite import clean, publish
from celeriac.testing.brokers.uniqueness import UniqueKeys

__all__ = ["BrokerConformance", "clean", "publish"]


class BrokerConformance(
    PublishAndClaim,
    LeasesAndFences,
    SettleAndRelease,
    UniqueKeys,
    RateLimits,
    Rooms,
    Revocations,
    QueuesAndDeadLetters,
    Exchanges,
    Priorities,
    BrokersThemselves,
):
    """Be the whole suite: subclass it, give it a fixture `world`, and every promise of the port is checked."""
