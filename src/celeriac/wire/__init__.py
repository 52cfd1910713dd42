"""Celery's bytes and our values, in both directions. Pure: no I/O, no clocks of its own."""
