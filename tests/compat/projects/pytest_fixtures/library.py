from celery import Task, shared_task


@shared_task
def shout(text):
    return text.upper()


class ClassTask(Task):
    name = "library.ClassTask"

    def run(self, number):
        return -number
