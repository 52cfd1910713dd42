"""Celery's import paths, and the small utilities that programs import from them. Nothing else in celeriac uses them."""
