"""Brokers: where messages wait, and who owns those that were claimed."""
