from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--dump", "--camera", "x.Y"], "exclude each other"),
        (["--json", "--camera", "x.Y"], "up to the camera"),
        (["--camera", "x.Y", "--maxrate", "often"], "a rate such as 10/m"),
        (["--camera", "x.Y", "--maxrate", "10/day"], "a rate such as 10/m"),
        (["--camera", "nonesuch.Camera"], "there is no camera 'nonesuch.Camera'"),
    ],
)
def test_what_cannot_be_shown_is_refused(command, shop, args, why):
    run = command("events", *args)

    assert run.code == 2
    assert why in run.err
