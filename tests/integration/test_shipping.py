"""From the log to real index servers: each document once, whatever happens on the way."""

from __future__ import annotations

import logging
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.documents import BOX
from collector.index.names import index_of
from collector.log import upkeep as log_upkeep
from collector.shipping.metrics import Trial
from contract.metric_names import SINK_UP
from contract.sink import Product, Sink
from tests.integration.node import secret, wait_for
from tests.integration.shipping import PATIENCE_S, Station, box, current, ids_in, prepare, sink_of, switchover
from tests.servers.proxy import BlackHole, Cut, FaultProxy, Full, Garble, Mode, Pass, Refuse, Slow, Status
from tests.servers.server import IndexServer

EACH = pytest.mark.parametrize(
    "each_server", ["opensearch3", "opensearch2", "elasticsearch8", "elasticsearch9"], indirect=True, scope="module"
)
pytestmark = pytest.mark.servers

MakeStation = Callable[..., Station]


@pytest.fixture
def subsystem(prefix: str) -> str:
    """A subsystem of this test's own."""
    return prefix.replace("-", "_").strip("_")


@pytest.fixture
def station(tmp_path: Path, subsystem: str) -> Iterator[MakeStation]:
    made: list[Station] = []

    def make(sink: Sink) -> Station:
        made.append(Station(tmp_path, subsystem, sink))
        return made[-1]

    yield make
    for each in made:
        each.end()


BAD_LINES: list[Mode] = [
    Cut(share=0.5),
    Status(429, share=0.5, retry_after_s=1),
    Status(503, share=0.5),
    Garble(share=0.5),
    Garble(truncated=False, share=0.5),
    BlackHole(),
    Slow(delay_s=0.3, bytes_per_s=20_000),
    Refuse(),
]


@EACH
def test_each_document_arrives_once_whatever_the_line_does(
    each_server: IndexServer, subsystem: str, station: MakeStation
) -> None:
    prepare(each_server)
    with FaultProxy(each_server.url) as proxy:
        sender = station(sink_of(each_server, proxy.url))
        sender.boxes(300, age_s=86400.0)
        sender.ship()
        for mode in BAD_LINES:
            proxy.switch(mode)
            for _ in range(3):
                sender.boxes(40)
                time.sleep(0.25)
        proxy.switch(Full(documents=0.5))
        wait_for("single documents are refused", lambda: proxy.refused > 20, PATIENCE_S)
        proxy.switch(Cut(share=0.3))
        sender.wait_empty()
        assert proxy.fates["Cut"] > 0
        proxy.switch(Pass())
        sender.boxes(3)  # what came through in the end may be too old to be shown as current
        account = sender.wait_empty()
    assert (account.captured, account.delivered) == (300 + 40 * 3 * len(BAD_LINES) + 3,) * 2
    assert ids_in(each_server, subsystem) == sender.ids()
    assert sorted(current(each_server, subsystem)) == ["fu-0", "fu-1", "fu-2"]


@EACH
def test_one_bad_document_is_put_aside_and_the_others_pass(
    each_server: IndexServer, subsystem: str, station: MakeStation
) -> None:
    prepare(each_server)
    sender = station(sink_of(each_server))
    now_s = time.time()
    good = [box("fu-1", now_s - i, subsystem) for i in range(20)]
    bad = [
        switchover(1, subsystem, unheard_of=1),
        switchover(2, subsystem, started="no time"),
        switchover(3, subsystem, duration_s="long"),
    ]
    sender.append(*good[:10], *bad, *good[10:], switchover(4, subsystem))
    sender.ship()
    account = sender.wait_empty()
    assert (account.delivered, account.dead, account.dead_letters) == (21, 3, 3)
    reasons = [letter.reason for letter in log_upkeep.dead_letters(sender.log.path, sender.sink.name)]
    assert ["unheard_of" in reasons[0], "started" in reasons[1], "duration_s" in reasons[2]] == [True] * 3
    assert log_upkeep.retry(sender.log.path, sender.sink.name) == 3
    sender.append()
    assert sender.wait_empty().dead == 6


@EACH
def test_an_unprepared_server_is_left_alone_until_it_is(
    each_server: IndexServer, subsystem: str, station: MakeStation, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/hltmode-*", "/_index_template/hltmode-*", "/_component_template/hltmode-*"):
        try:
            each_server.ask(path, method="DELETE")
        except urllib.error.HTTPError as error:
            assert error.code == 404
    sender = station(sink_of(each_server))
    sender.boxes(5)
    sender.ship()
    sender.wait_failure(Trial.NOT_PREPARED)
    assert "no index template hltmode-box; run hltmode index apply" in caplog.text
    assert not each_server.ask(f"/_cat/indices/hltmode-*-{subsystem}*?format=json")
    prepare(each_server)
    sender.wait_empty()
    assert ids_in(each_server, subsystem) == sender.ids()
    wait_for("the sink is up", lambda: sender.value(SINK_UP) == 1.0)


@EACH
def test_an_index_that_is_write_blocked_loses_nothing(
    each_server: IndexServer, subsystem: str, station: MakeStation
) -> None:
    prepare(each_server)
    sender = station(sink_of(each_server))
    sender.boxes(3)
    sender.ship()
    sender.wait_empty()
    each_server.ask(f"/hltmode-box-{subsystem}-*/_settings", {"index.blocks.write": True}, "PUT")
    sender.boxes(3)
    sender.wait_failure(Trial.REFUSED)
    assert sender.account().backlog == 3
    each_server.ask(f"/hltmode-box-{subsystem}-*/_settings", {"index.blocks.write": None}, "PUT")
    assert sender.wait_empty().dead == 0
    assert ids_in(each_server, subsystem) == sender.ids()


@pytest.mark.parametrize(
    ("each_server", "product"),
    [("opensearch3", Product.ELASTICSEARCH), ("elasticsearch9", Product.OPENSEARCH)],
    indirect=["each_server"],
)
def test_a_server_of_the_wrong_product_gets_nothing(
    each_server: IndexServer, product: Product, subsystem: str, station: MakeStation, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(each_server)
    sender = station(Sink(kind=product, hosts=[each_server.url], name="main"))
    sender.boxes(3)
    sender.ship()
    sender.wait_failure(Trial.WRONG_PRODUCT)
    assert "see kind of sink main" in caplog.text
    assert not each_server.ask(f"/_cat/indices/hltmode-*-{subsystem}*?format=json")
    assert sender.account().backlog == 3


def test_of_several_hosts_another_is_asked_at_once(
    opensearch3: IndexServer, subsystem: str, station: MakeStation
) -> None:
    prepare(opensearch3)
    with FaultProxy(opensearch3.url) as one, FaultProxy(opensearch3.url) as other:
        sender = station(sink_of(opensearch3, one.url, other.url))
        sender.ship()
        for down, mode in ((one, Refuse()), (other, Cut())):
            down.switch(mode)
            sender.boxes(40)
            sender.wait_empty()
            down.switch(Slow())
    assert ids_in(opensearch3, subsystem) == sender.ids()
    assert sender.failures(Trial.NO_ANSWER) >= 1


def test_what_the_server_calls_too_large_comes_in_halves(
    opensearch3: IndexServer, subsystem: str, tmp_path: Path
) -> None:
    with IndexServer(opensearch3.release, extra={"http.max_content_length": "64kb"}) as small:
        prepare(small)
        sender = Station(tmp_path, subsystem, sink_of(small, timeout_s=10.0))
        now_s = time.time()
        sender.append(*[box("fu-1", now_s - i, subsystem, filling="x" * 4000) for i in range(60)])
        sender.append(box("fu-1", now_s - 100, subsystem, filling="x" * 100_000))
        sender.ship()
        account = sender.wait_empty()
        sender.end()
        assert (account.delivered, account.dead) == (60, 1)
        assert sender.failures(Trial.TOO_LARGE) > 0
        assert "413" in log_upkeep.dead_letters(sender.log.path, sender.sink.name)[0].reason


def test_a_user_who_may_only_create_creates_and_is_told_the_rest(
    elasticsearch_secure: IndexServer,
    subsystem: str,
    station: MakeStation,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = elasticsearch_secure
    secrets = {name: str(tmp_path / name) for name in ("username_file", "password_file")}
    for name, text in zip(secrets.values(), ("admin", server.users["admin"].password), strict=True):
        secret(Path(name), text)
    prepare(server, ca_file=str(server.ca_file), **secrets)
    Path(secrets["username_file"]).write_text("writer\n")
    Path(secrets["password_file"]).write_text("not the password\n")
    sender = station(sink_of(server, timeout_s=10.0, ca_file=str(server.ca_file), **secrets))
    caplog.set_level(logging.INFO)
    sender.boxes(10)
    sender.ship()
    sender.wait_failure(Trial.REFUSED)
    assert "HTTP 401" in caplog.text
    assert "not the password" not in caplog.text
    Path(secrets["password_file"]).write_text(server.users["writer"].password)
    sender.wait_empty()
    assert ids_in(server, subsystem) == sender.ids()
    assert "may not look at templates" in caplog.text
    assert caplog.text.count("newest box of a host not taken: 403") == 1
    assert server.users["writer"].password not in caplog.text


def test_a_server_that_cannot_be_trusted_gets_no_password(
    elasticsearch_secure: IndexServer, station: MakeStation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "user").write_text("writer")
    sender = station(
        sink_of(elasticsearch_secure, username_file=str(tmp_path / "user"), password_file=str(tmp_path / "none"))
    )
    sender.boxes(1)
    sender.ship()
    sender.wait_failure(Trial.SECRETS)
    secret(tmp_path / "none", "secret word")
    sender.wait_failure(Trial.NOT_TRUSTED)
    assert "see ca_file of the sink" in caplog.text
    assert "secret word" not in caplog.text


def test_hltds_index_goes_on_beside_ours(
    opensearch3: IndexServer, subsystem: str, station: MakeStation, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(opensearch3)
    caplog.set_level(logging.INFO)
    alias = f"boxinfo_{subsystem}_write"
    sender = station(sink_of(opensearch3, hltd_form=True))
    sender.ship()
    sender.boxes(6)
    sender.wait_empty()
    assert caplog.text.count("newest box of a host not taken") == 1
    opensearch3.ask(f"/hltd-{subsystem}", {"aliases": {alias: {}}}, "PUT")
    sender.append(box("fu-1", time.time(), subsystem, activeRuns=[398123], idles=7))
    sender.wait_empty()
    found = opensearch3.ask(f"/{alias}/_doc/fu-1")["_source"]
    assert (found["id"], found["activeRuns"], found["idles"]) == ("fu-1", "398123", 7)
    assert "takes the newest box of each host again" in caplog.text


def test_a_replay_fills_what_was_deleted_and_doubles_nothing(
    opensearch3: IndexServer, subsystem: str, station: MakeStation
) -> None:
    prepare(opensearch3)
    sender = station(sink_of(opensearch3))
    now_s = time.time()
    sender.append(*[box("fu-1", now_s, subsystem) for _ in range(50)])
    sender.ship()
    sender.wait_empty()
    before = ids_in(opensearch3, subsystem)
    lost = sorted(before)[:20]
    for identity in lost:
        opensearch3.ask(f"/{index_of(BOX, subsystem, now_s)}/_doc/{identity}", method="DELETE")
    assert len(ids_in(opensearch3, subsystem)) == 30
    assert log_upkeep.replay(sender.log.path, sender.sink.name, time.time() - 3600) == 50
    sender.append()
    account = sender.wait_empty()
    assert ids_in(opensearch3, subsystem) == before
    assert account.captured == account.delivered


def test_a_backlog_is_worked_off_at_its_rate_and_the_newest_are_there_at_once(
    opensearch3: IndexServer, subsystem: str, station: MakeStation
) -> None:
    prepare(opensearch3)
    sender = station(sink_of(opensearch3, backlog_per_s=20.0))
    sender.boxes(400, age_s=3600.0)
    sender.boxes(3)
    began_s = time.monotonic()
    sender.ship()
    wait_for("the sink is up", lambda: sender.value(SINK_UP) == 1.0, PATIENCE_S)
    wait_for("the newest are there", lambda: len(current(opensearch3, subsystem)) == 3, PATIENCE_S)

    def no_faster() -> bool:
        delivered = 403 - sender.account().backlog
        return delivered <= 3 + 1 + 100 + 20 * (time.monotonic() - began_s + 1)

    assert sender.account().backlog > 0
    assert no_faster()
    wait_for("some of the past is there", lambda: sender.account().backlog < 330, PATIENCE_S)
    assert no_faster()


@pytest.mark.parametrize(("age_s", "in_flight"), [(3600.0, 2), (0.0, 1)], ids=["backlog", "live"])
def test_only_a_backlog_has_two_requests_in_flight(
    opensearch3: IndexServer, subsystem: str, station: MakeStation, age_s: float, in_flight: int
) -> None:
    """Live documents go one request after the other, so that the order of what is shown as current is theirs."""
    prepare(opensearch3)
    with FaultProxy(opensearch3.url, BlackHole()) as proxy:
        sender = station(sink_of(opensearch3, proxy.url, timeout_s=30.0, batch_documents=10))
        sender.boxes(25, age_s)
        sender.ship()
        assert proxy.wait_for_requests(in_flight)
        assert not proxy.wait_for_requests(in_flight + 1, timeout_s=0.5)
        proxy.switch(Refuse())  # lets go of those that wait
        proxy.switch(Pass())
        account = sender.wait_empty()
    assert account.delivered == 25
    assert ids_in(opensearch3, subsystem) == sender.ids()
