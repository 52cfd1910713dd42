"""A library with tasks, which knows no app."""
