import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from crawl_server import BODY, QUICK, Visit, accepting, serving

from gristmill.crawl import Answer, Crawler, Resolver, client, run
from gristmill.spec.errors import MachineError
from gristmill.spec.reasons import Reason

AUTHORITY = trustme.CA()
HOST = "img.example"


async def good(visit: Visit) -> None:
    await visit.answer()


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def ask(context: ssl.SSLContext, *, verify: bool = True) -> Answer:
    async def main() -> Answer:
        settings = replace(QUICK, verify_tls=verify)
        resolver = Resolver(settings, lookup=lambda host: ["127.0.0.1"])
        async with (
            serving(otherwise=good, tls=context) as server,
            Crawler(settings, resolver=resolver) as crawler,
        ):
            answer = await crawler.fetch(f"https://{HOST}:{server.port}/")
            if answer.reason is Reason.TLS:
                assert answer.tries == 1
                assert server.visits.total() == 0
            return answer

    return run(main())


def ask_blocking(context: ssl.SSLContext, *, verify: bool = True) -> Answer:
    """As :func:`ask`, of a server that takes leave with a TLS alert, as most do and asyncio's does not."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1000)

    async def main() -> Answer:
        settings = replace(QUICK, verify_tls=verify)
        resolver = Resolver(settings, lookup=lambda host: ["127.0.0.1"])
        async with Crawler(settings, resolver=resolver) as crawler:
            return await crawler.fetch(f"https://{HOST}:{listening.getsockname()[1]}/")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return run(main())
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pem = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return


@pytest.mark.usefixtures("trusted")
def test_an_authority_of_the_environment_is_trusted() -> None:
    assert ask(server_side(AUTHORITY.issue_cert(HOST))).body == BODY


def test_an_unknown_authority_is_not() -> None:
    answer = ask(server_side(AUTHORITY.issue_cert(HOST)))
    assert answer.reason is Reason.TLS
    assert "certificate" in answer.detail


@pytest.mark.usefixtures("trusted")
def test_a_wrong_name() -> None:
    assert ask(server_side(AUTHORITY.issue_cert("other.example"))).reason is Reason.TLS


@pytest.mark.usefixtures("trusted")
def test_an_expired_certificate() -> None:
    expired = AUTHORITY.issue_cert(HOST, not_after=datetime.now(UTC) - timedelta(days=1))
    assert ask(server_side(expired)).reason is Reason.TLS


@pytest.mark.usefixtures("trusted")
def test_a_server_that_wants_to_know_who_we_are() -> None:
    context = server_side(AUTHORITY.issue_cert(HOST))
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    assert ask_blocking(context).reason is Reason.TLS


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_protocol_is_not_spoken() -> None:
    context = server_side(AUTHORITY.issue_cert(HOST))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert ask_blocking(context, verify=False).reason is Reason.TLS


def test_verification_may_be_switched_off_for_a_run() -> None:
    assert ask(server_side(AUTHORITY.issue_cert("other.example")), verify=False).body == BODY


def test_plain_http_on_a_tls_port_and_the_reverse() -> None:
    async def talk_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    async def main() -> None:
        async with accepting(talk_first) as port, Crawler(QUICK) as crawler:
            answer = await crawler.fetch(f"https://127.0.0.1:{port}/")
            assert (answer.reason, answer.tries) == (Reason.TLS, 1)
        context = server_side(AUTHORITY.issue_cert(HOST))
        async with serving(otherwise=good, tls=context) as server, Crawler(QUICK) as crawler:
            answer = await crawler.fetch(server.url("/").replace("https:", "http:"))
            assert answer.reason in {Reason.BAD_HTTP, Reason.RESET}, answer

    run(main())


@pytest.mark.usefixtures("trusted")
def test_the_context_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(1) or create())

    async def main() -> None:
        resolver = Resolver(QUICK, lookup=lambda host: ["127.0.0.1"])
        context = server_side(AUTHORITY.issue_cert(HOST))
        async with (
            serving(otherwise=good, tls=context) as server,
            Crawler(QUICK, resolver=resolver) as crawler,
        ):
            for i in range(5):
                assert (await crawler.fetch(f"https://{HOST}:{server.port}/{i}")).ok
            assert server.connections == 5

    run(main())
    assert len(made) == 1


def test_few_connections_are_kept_that_nobody_uses(trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their buffers are large. Others are closed with the answer; what is kept is used again."""
    monkeypatch.setattr(client, "MOST_IDLE_TLS", 3)
    idle, connections = [], set()

    async def main() -> list[Answer]:
        settings = replace(QUICK, in_flight=4)
        resolver = Resolver(settings, lookup=lambda host: ["127.0.0.1"])

        async def page(visit: Visit) -> None:
            idle.append(visit.server.open_now - visit.server.busy_now)
            connections.add(visit.writer.get_extra_info("peername"))
            await visit.answer()

        answers: list[Answer] = []

        async def keep(_: int, answer: Answer) -> None:
            answers.append(answer)

        context = server_side(AUTHORITY.issue_cert("*.img.example"))
        async with (
            serving(otherwise=page, tls=context) as server,
            Crawler(settings, resolver=resolver) as crawler,
        ):
            urls = [f"https://h{n % 25}.img.example:{server.port}/{n}" for n in range(100)]
            await crawler.crawl(enumerate(urls), keep)
            return answers

    answers = run(main())
    assert [answer.reason for answer in answers] == [None] * 100
    assert 1 <= max(idle) <= 3 + 3 * 4
    assert 25 <= len(connections) < 100


@pytest.mark.parametrize("name", ["missing.pem", "empty.pem"])
def test_a_machine_without_authorities_stops_instead_of_recording_dead_links(tmp_path, monkeypatch, name):
    (tmp_path / "empty.pem").write_text("no certificate\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
    with pytest.raises(MachineError, match=rf"SSL_CERT_FILE=\S*{name} holds none.*ca-certificates"):
        client.tls_context(verify=True)
    assert client.tls_context(verify=False).verify_mode is ssl.CERT_NONE
    AUTHORITY.cert_pem.write_to_path(tmp_path / name)
    assert client.tls_context(verify=True).verify_mode is ssl.CERT_REQUIRED


def test_authorities_are_read_once_for_all_clients(tmp_path, monkeypatch):
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ours.pem")
    of_system = client.tls_context(verify=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ours.pem"))
    ours = client.tls_context(verify=True)
    assert len(ours.get_ca_certs()) == 1
    assert client.tls_context(verify=True) is ours
    assert client.tls_context(verify=False) is not ours
    monkeypatch.undo()
    assert client.tls_context(verify=True) is of_system


def test_a_handshake_that_stalls_has_the_time_to_connect_at_all_addresses_together() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        settings = replace(QUICK, tries=1, total_s=30.0, stall_s=30.0)
        resolver = Resolver(settings, lookup=lambda host: [f"127.0.0.{i}" for i in range(1, 17)])
        async with accepting(silent, "0.0.0.0") as port, Crawler(settings, resolver=resolver) as crawler:
            answer = await crawler.fetch(f"https://{HOST}:{port}/")
            assert answer.reason is Reason.CONNECT_TIMEOUT
            assert answer.elapsed_s < 8 * QUICK.connect_s

    run(main())
