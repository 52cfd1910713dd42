"""The frameworks that celeriac is measured beside, one file each: an app, its no-op task, and how it is tuned.

Every file here, and `bench.celeriac_sqlite`, is a `bench.trial.Entrant`. These run in `bench/.venv-peers`.
"""
