"""What several settings say together, as the parts that need it want to be told."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from celeriac.wire.forms import RecordForm
from celeriac.wire.limits import Limits
from celeriac.wire.serializers import Accept

if TYPE_CHECKING:
    from celeriac.app.config.table import AllSettings as _Attributes
else:  # an attribute of the class, even one that is never reached, would make each reading of a setting slower
    _Attributes = object


class DerivedSettings(_Attributes):
    """Combine the settings of an app."""

    @property
    def zone(self) -> datetime.tzinfo:
        """The zone in which times without one are meant."""
        if isinstance(self.timezone, str):
            return ZoneInfo(self.timezone)
        if self.timezone is not None:
            return self.timezone
        if self.enable_utc:
            return datetime.UTC
        from tzlocal import get_localzone  # 5 ms to import, for those who leave UTC and name no zone

        return get_localzone()

    @property
    def limits(self) -> Limits:
        """The limits of messages, as readers and writers of them want to be told."""
        return Limits(
            max_bytes=self.message_max_bytes, max_depth=self.message_max_depth, max_headers=self.message_max_headers
        )

    @property
    def accept(self) -> Accept:
        """What may be decoded of messages.

        Raises:
            ImproperlyConfigured: a serializer in `accept_content` needs a library that is not installed.
        """
        return Accept.of(self.accept_content, pickle_queues=self.accept_pickle_from)

    @property
    def record_form(self) -> RecordForm:
        """How records of results are written, and which are read.

        Raises:
            ImproperlyConfigured: they would be written as nobody may read them.
        """
        return RecordForm.of(
            serializer=self.result_serializer,
            compression=self.result_compression,
            accept=self.result_accept_content,
            accept_content=self.accept_content,
            max_bytes=self.message_max_bytes,
            record_max_bytes=self.result_max_bytes,
        )
