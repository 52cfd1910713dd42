"""The worker: one node that claims, runs and settles."""
