"""Tasks that end in every way there is; added to the tasks of a project under test."""

from __future__ import annotations

SOURCE = '''
import threading

from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelled


def gate_is_shut(gate):
    return not (HERE / gate).exists()


@app.task
def steps(name, gate="never"):
    """Work in small steps, so that every pool can interrupt it, until a gate opens."""
    note("began", name)
    try:
        while gate_is_shut(gate):
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        return "soft"
    return name


@app.task
async def asteps(name, gate="never"):
    """Do the same as a coroutine."""
    note("began", name)
    try:
        while gate_is_shut(gate):
            await asyncio.sleep(0.01)
    except SoftTimeLimitExceeded:
        return "soft"
    return name


@app.task
def stubborn(name, gate="never"):
    """Refuse to end."""
    note("began", name)
    while gate_is_shut(gate):
        try:
            time.sleep(0.05)
        except Exception:
            continue
    return name


@app.task
def leave_once(name):
    """Take the process along, the first time."""
    note("began", name)
    if gate_is_shut(f"{name}-left"):
        (HERE / f"{name}-left").touch()
        os._exit(7)
    return name


@app.task
def leave_system(name):
    note("began", name)
    raise SystemExit(name)


@app.task
def leave_threads(name):
    """Leave a thread behind that is no daemon and does not end."""
    note("began", name)
    threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    return name
'''
