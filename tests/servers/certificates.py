"""Makes a certificate authority and a server certificate for loopback with the `openssl` command."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from contract.errors import Surroundings

VALID_FOR: Final = timedelta(days=7)
# `openssl ca` is used because `openssl x509` takes no dates before version 3.4, and an expired certificate needs them
CONFIG: Final = """
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
certificate = ca.pem
private_key = ca.key
[any]
commonName = supplied
[req]
distinguished_name = names
prompt = no
[names]
commonName = tests of hltmode
[of_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[of_server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost,IP:127.0.0.1
"""


def make_certificates(folder: Path, *, expired: bool = False) -> Path:
    """Writes ca.pem, server.pem and server.key to `folder` and returns the first. Raises Surroundings.

    With `expired` the server's certificate ended yesterday; the authority's is good.
    """
    folder.mkdir(exist_ok=True)
    (folder / "openssl.cnf").write_text(CONFIG)
    (folder / "index.txt").touch()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "openssl.cnf"]
    subject = ["-subj", "/CN=localhost"]
    end = datetime.now(UTC) + (-timedelta(days=1) if expired else VALID_FOR)
    dates = ["-startdate", _date(end - 2 * VALID_FOR), "-enddate", _date(end)]
    ca = ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-extensions", "of_ca", "-days", "30"]
    _openssl(folder, ca)
    _openssl(folder, ["req", "-new", *key, *subject, "-keyout", "server.key", "-out", "server.csr"])
    signed = ["-in", "server.csr", "-out", "server.pem", "-extensions", "of_server", *dates]
    _openssl(folder, ["ca", "-batch", "-notext", "-config", "openssl.cnf", *signed])
    return folder / "ca.pem"


def _date(time: datetime) -> str:
    return time.strftime("%Y%m%d%H%M%SZ")


def _openssl(folder: Path, arguments: list[str]) -> None:
    command = shutil.which("openssl")
    if command is None:
        raise Surroundings("certificates are made with openssl, which is not to be found: install the package openssl")
    made = subprocess.run([command, *arguments], cwd=folder, check=False, capture_output=True, text=True)
    if made.returncode:
        raise Surroundings(f"openssl {' '.join(arguments)}: {made.stderr.strip()}")
