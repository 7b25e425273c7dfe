"""The loopback web: Debian's nginx over the corpus, plain and with TLS, on many loopback hosts.

Plain HTTP keeps connections alive. HTTPS closes each connection after its answer and gives no session tickets, so
every URL costs a full handshake, as URLs on distinct hosts do; on a second port it keeps connections. Each of the 250
hosts 127.0.0.1 to 127.0.0.250 has a certificate of its own (ECDSA P-256) from one authority made on the spot; clients
verify it through SSL_CERT_FILE.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import trustme

from bench.paths import CORPUS, PACKAGES, SERVER, say

HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 251))
HTTP_PORT, HTTPS_PORT, HTTPS_KEPT_PORT = 21_080, 21_443, 21_444
WORKERS = 2
AUTHORITY = SERVER / "authority.pem"
BUNDLE = SERVER / "bundle.pem"
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
START_WITHIN_S = 15.0

Trust = Literal["authority", "bundle"]

CONFIG = """\
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
worker_processes {workers};
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=8192 inactive=10m;
  client_body_temp_path {folder}/temp;
  proxy_temp_path {folder}/temp;
  fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp;
  scgi_temp_path {folder}/temp;
  types {{ image/jpeg jpg; image/png png; image/webp webp; }}
  root {root};
  keepalive_requests 100000;
  server {{ listen 0.0.0.0:{http_port} backlog=4096; }}
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_tickets off;
  ssl_session_cache off;
  keepalive_timeout 75s;
{tls_servers}
}}
"""
TLS_SERVER = """\
  server {{
    listen {host}:{port} ssl backlog=4096;
    ssl_certificate {folder}/certificates/{host}.pem;
    ssl_certificate_key {folder}/certificates/{host}.pem;
    keepalive_timeout {keep_s};
  }}
"""


@contextmanager
def serving() -> Iterator[None]:
    """Serve the corpus until the block ends."""
    program = _nginx()
    for port in (HTTP_PORT, HTTPS_PORT, HTTPS_KEPT_PORT):
        if _answers(port):
            raise SystemExit(f"server: another program answers on port {port} of loopback: end it first")
    _make_certificates()
    (SERVER / "temp").mkdir(parents=True, exist_ok=True)
    config = SERVER / "nginx.conf"
    config.write_text(_config())
    process = subprocess.Popen(
        [program, "-c", str(config), "-e", str(SERVER / "error.log"), "-p", str(SERVER)]
    )
    try:
        _wait_for(process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def client_environment(trust: Trust = "authority") -> Mapping[str, str]:
    """Environment in which a client verifies the hosts.

    Args:
        trust: ``authority``: the file of trusted roots holds only ours. ``bundle``: it holds the system's roots too,
            as on any machine that crawls the web; a client that loads the file for each request pays for it.
    """
    _make_certificates()  # also where nothing is served by TLS: a client without any root refuses to begin
    file = AUTHORITY
    if trust == "bundle":
        system = SYSTEM_BUNDLE.read_text() if SYSTEM_BUNDLE.exists() else ""
        BUNDLE.write_text(system + AUTHORITY.read_text())
        file = BUNDLE
    empty = SERVER / "no-roots"
    empty.mkdir(parents=True, exist_ok=True)
    return {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(empty)}


def _config() -> str:
    tls = "".join(
        TLS_SERVER.format(host=host, port=port, folder=SERVER, keep_s=keep_s)
        for port, keep_s in ((HTTPS_PORT, 0), (HTTPS_KEPT_PORT, 75))
        for host in HOSTS
    )
    return CONFIG.format(
        # Started by root, nginx would drop to an account that may not read the corpus.
        user="user root;" if os.geteuid() == 0 else "",
        folder=SERVER,
        workers=WORKERS,
        root=CORPUS / "files",
        http_port=HTTP_PORT,
        tls_servers=tls,
    )


def _make_certificates() -> None:
    folder = SERVER / "certificates"
    if all((folder / f"{host}.pem").exists() for host in HOSTS) and AUTHORITY.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    for host in HOSTS:
        certificate = authority.issue_cert(host, key_type=trustme.KeyType.ECDSA)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{host}.pem"))
    authority.cert_pem.write_to_path(str(AUTHORITY))


def _nginx() -> str:
    """The installed nginx, or Debian's unpacked (not installed) under bench/.work."""
    installed = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if installed:
        return installed
    unpacked = PACKAGES / "nginx" / "usr" / "sbin" / "nginx"
    if not unpacked.exists():
        say("server: fetching nginx from Debian")
        PACKAGES.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-qq", "nginx"], cwd=PACKAGES, check=True, timeout=300)
            archive = sorted(PACKAGES.glob("nginx_*.deb"))[-1]
            subprocess.run(["dpkg-deb", "-x", str(archive), str(PACKAGES / "nginx")], check=True)
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            raise SystemExit(
                f"server: no nginx: install it (apt-get install nginx-light): {error}"
            ) from error
    return str(unpacked)


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_WITHIN_S
    for port in (HTTP_PORT, HTTPS_PORT, HTTPS_KEPT_PORT):
        while True:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"server: nginx does not answer on port {port}: see {SERVER / 'error.log'}")
            if _answers(port):
                break
            time.sleep(0.05)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOSTS[0], port)) == 0
