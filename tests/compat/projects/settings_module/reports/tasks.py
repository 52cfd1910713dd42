from celery import current_app

from reports import app


@app.task
def daily(day):
    return f"report of {day}"


@app.task(soft_time_limit=30)
def nightly(days):
    return [daily.run(day) for day in days]


@app.task
def which_app():
    return current_app.main
