import importlib
import os

from celery.loaders.base import BaseLoader


def note(*words):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(" ".join(map(str, words)) + "\n")


class ReportsLoader(BaseLoader):
    def read_configuration(self, env="REPORTS_SETTINGS"):
        settings = importlib.import_module(os.environ[env])
        return {name: value for name, value in vars(settings).items() if name.isupper()}

    def import_default_modules(self):
        note("imports")
        return super().import_default_modules()

    def on_worker_init(self):
        note("worker")

    def on_worker_process_init(self):
        note("process")

    def on_task_init(self, task_id, task):
        note("begins", task_id, task.name)
