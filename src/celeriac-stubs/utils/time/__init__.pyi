# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.times import add_seconds_to_datetime as add_seconds_to_datetime
from celeriac.compat.times import get_exponential_backoff_interval as get_exponential_backoff_interval
from celeriac.compat.times import humanize_seconds as humanize_seconds
from celeriac.compat.times import is_naive as is_naive
from celeriac.compat.times import localize as localize
from celeriac.compat.times import make_aware as make_aware
from celeriac.compat.times import maybe_iso8601 as maybe_iso8601
from celeriac.compat.times import maybe_make_aware as maybe_make_aware
from celeriac.compat.times import maybe_timedelta as maybe_timedelta
from celeriac.compat.times import rate as rate
from celeriac.compat.times import subtract_datetimes as subtract_datetimes
from celeriac.compat.times import timezone as timezone
from celeriac.compat.times import to_utc as to_utc
from celeriac.compat.times import weekday as weekday

__all__ = [
    "add_seconds_to_datetime",
    "get_exponential_backoff_interval",
    "humanize_seconds",
    "is_naive",
    "localize",
    "make_aware",
    "maybe_iso8601",
    "maybe_make_aware",
    "maybe_timedelta",
    "rate",
    "subtract_datetimes",
    "timezone",
    "to_utc",
    "weekday",
]
