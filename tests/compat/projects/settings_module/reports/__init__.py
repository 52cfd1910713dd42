from celery import Celery

app = Celery("reports", loader="reports.loading:ReportsLoader")
