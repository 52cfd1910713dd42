"""What callers touch: the app, tasks, results, configuration."""
