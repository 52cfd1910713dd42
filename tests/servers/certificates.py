"""Certificates for tests: an authority of their own, what it signed for a server and for a client, and a stranger's."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificates:
    """Name files: the authority's certificate, and the key and certificate of each party."""

    folder: Path

    @property
    def authority(self) -> str:
        return str(self.folder / "authority.pem")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")

    def certificate(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")


def make_certificates(folder: Path) -> Certificates:
    """Make them with openssl, valid for a day: ``server`` (for localhost and 127.0.0.1) and ``client``."""
    made = Certificates(folder)
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
        *("-subj", "/CN=tests", "-keyout", made.key("authority"), "-out", made.authority),
    )
    for name in ("server", "client"):
        request, names = folder / f"{name}.csr", folder / f"{name}.ext"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", made.key(name), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", made.authority, "-CAkey", made.key("authority")),
            *("-CAcreateserial", "-days", "1", "-extfile", str(names), "-out", made.certificate(name)),
        )
    return made


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("openssl is not installed; `apt-get install openssl`")
    subprocess.run([program, *arguments], check=True, capture_output=True, timeout=30)
