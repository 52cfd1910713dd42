from celery.result import AsyncResult
from flask import Blueprint, request

from . import tasks

bp = Blueprint("tasks", __name__, url_prefix="/tasks")


@bp.get("/result/<id>")
def result(id: str) -> dict[str, object]:
    found = AsyncResult(id)
    ready = found.ready()
    return {
        "ready": ready,
        "successful": found.successful() if ready else None,
        "value": found.get() if ready else found.result,
    }


@bp.post("/greet")
def greet() -> dict[str, object]:
    return {"result_id": tasks.greet.delay(request.form["name"]).id}


@bp.post("/block")
def block() -> dict[str, object]:
    return {"result_id": tasks.block.delay().id}


@bp.post("/process")
def process() -> dict[str, object]:
    return {"result_id": tasks.process.delay(total=request.form.get("total", type=int)).id}
