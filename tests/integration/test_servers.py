"""The index servers that other tests stand on: they start, answer their own clients, refuse strangers, come back."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import elastic_transport
import elasticsearch
import opensearchpy
import psutil
import pytest

from contract.errors import Surroundings
from tests.integration.node import wait_for
from tests.servers.plugin import QUICK_START, Pool
from tests.servers.proxy import Cut, FaultProxy, Garble, Pass, Refuse, Status
from tests.servers.releases import ELASTICSEARCH_9, OPENSEARCH_2, Product
from tests.servers.server import IndexCluster, IndexServer, Security

pytestmark = pytest.mark.servers


def created(server: IndexServer, index: str, *names: str) -> list[int]:
    """Creates documents through the product's own client in one bulk and returns what became of each."""
    operations: list[dict[str, Any]] = []
    for name in names:
        operations += [{"create": {"_index": index, "_id": name}}, {"lumisection": 7}]
    answer: Any
    if server.product is Product.OPENSEARCH:
        with closing(opensearchpy.OpenSearch(server.url)) as client:
            answer = client.bulk(body=operations, params={"refresh": "true"})
    else:
        with closing(elasticsearch.Elasticsearch(server.url)) as client_of_elastic:
            answer = client_of_elastic.bulk(operations=operations, refresh=True)
    return [item["create"]["status"] for item in answer["items"]]


@contextmanager
def as_user(server: IndexServer, name: str, password: str | None = None) -> Iterator[elasticsearch.Elasticsearch]:
    user = server.users[name]
    with closing(
        elasticsearch.Elasticsearch(
            server.url, ca_certs=str(server.ca_file), basic_auth=(name, password or user.password)
        )
    ) as client:
        yield client


def count(server: IndexServer, index: str) -> int:
    found: int = server.ask(f"/{index}/_count")["count"]
    return found


def test_each_server_creates_documents_once(each_server: IndexServer, prefix: str) -> None:
    assert created(each_server, f"{prefix}a", "1", "2") == [201, 201]
    assert created(each_server, f"{prefix}a", "2", "3") == [409, 201]
    assert count(each_server, f"{prefix}a") == 3


def test_each_server_is_of_the_version_it_is_asked_for(each_server: IndexServer) -> None:
    nodes = each_server.ask("/_nodes/_local?filter_path=nodes.*.version")["nodes"]
    assert [node["version"] for node in nodes.values()] == [each_server.version]


def test_no_server_runs_as_root_and_each_listens_on_loopback_only(each_server: IndexServer) -> None:
    first = psutil.Process(each_server.pid)
    for process in [first, *first.children(recursive=True)]:
        assert process.uids().real != 0
        listening = [found for found in process.net_connections("tcp") if found.status == psutil.CONN_LISTEN]
        assert {found.laddr.ip.removeprefix("::ffff:") for found in listening} <= {"127.0.0.1"}


def test_the_elasticsearch_client_refuses_opensearch(opensearch3: IndexServer, prefix: str) -> None:
    with closing(elasticsearch.Elasticsearch(opensearch3.url)) as client:
        with pytest.raises(elasticsearch.UnsupportedProductError):
            client.cluster.health()
        # a bulk is refused earlier, for its media type: the error is not the one that names the product
        with pytest.raises(elasticsearch.ApiError) as refused:
            client.bulk(operations=[{"create": {"_index": f"{prefix}a"}}, {"lumisection": 7}])
        assert refused.value.status_code == 406


def test_the_opensearch_client_does_not_notice_an_elasticsearch(elasticsearch9: IndexServer, prefix: str) -> None:
    with closing(opensearchpy.OpenSearch(elasticsearch9.url)) as client:
        answer = client.bulk(body=[{"create": {"_index": f"{prefix}a"}}, {"lumisection": 7}])
    assert answer["errors"] is False


def test_a_wrong_password_is_refused(elasticsearch_secure: IndexServer) -> None:
    with (
        as_user(elasticsearch_secure, "writer", "wrong") as client,
        pytest.raises(elasticsearch.AuthenticationException) as refused,
    ):
        client.search(index="hltmode-*")
    assert refused.value.status_code == 401


def test_the_writer_creates_and_can_do_nothing_else(elasticsearch_secure: IndexServer, prefix: str) -> None:
    index = f"{prefix}a"
    with as_user(elasticsearch_secure, "writer") as client:
        assert client.create(index=index, id="1", document={"lumisection": 7})["result"] == "created"
        with pytest.raises(elasticsearch.ConflictError):
            client.create(index=index, id="1", document={"lumisection": 8})
        everything_else: list[Callable[[], object]] = [
            lambda: client.index(index=index, id="1", document={"lumisection": 8}),
            lambda: client.delete(index=index, id="1"),
            lambda: client.indices.delete(index=index),
            lambda: client.search(index=index),
            lambda: client.create(index="other", id="1", document={"lumisection": 7}),
        ]
        for forbidden in everything_else:
            with pytest.raises(elasticsearch.AuthorizationException):
                forbidden()


def test_the_reader_reads_and_cannot_write(elasticsearch_secure: IndexServer, prefix: str) -> None:
    with as_user(elasticsearch_secure, "writer") as client:
        client.create(index=f"{prefix}a", id="1", document={"lumisection": 7}, refresh=True)
    with as_user(elasticsearch_secure, "reader") as client:
        assert client.count(index=f"{prefix}a")["count"] == 1
        with pytest.raises(elasticsearch.AuthorizationException):
            client.create(index=f"{prefix}a", id="2", document={"lumisection": 7})


def test_a_client_without_the_authority_does_not_trust_the_server(elasticsearch_secure: IndexServer) -> None:
    with (
        closing(elasticsearch.Elasticsearch(elasticsearch_secure.url, basic_auth=("writer", "x"))) as client,
        pytest.raises(elastic_transport.TlsError),
    ):
        client.cluster.health()


def test_an_expired_certificate_is_not_trusted() -> None:
    security = Security(expired_certificate=True)
    with IndexServer(ELASTICSEARCH_9, security=security, java_options=QUICK_START) as server:
        with as_user(server, "writer") as client, pytest.raises(elastic_transport.TlsError) as refused:
            client.cluster.health()
        assert any("expired" in str(error) for error in causes(refused.value))


def causes(error: elastic_transport.TransportError) -> list[BaseException]:
    """Returns the errors below one of the client's that came from TLS."""
    found: list[BaseException] = []
    left: list[BaseException] = list(error.errors)
    while left:
        one = left.pop()
        found += [one] if isinstance(one, ssl.SSLError) else []
        left += [below for below in (one.__cause__, one.__context__, *one.args) if isinstance(below, BaseException)]
        left += getattr(one, "errors", ())
    return found


def test_a_server_comes_back_with_its_data_on_its_port() -> None:
    with IndexServer(OPENSEARCH_2, java_options=QUICK_START) as server:
        url = server.url
        created(server, "hltmode-a", "1")
        server.stop()
        assert not server.running
        server.start()
        assert created(server, "hltmode-a", "1", "2") == [409, 201]
        server.kill()
        server.start()
        assert created(server, "hltmode-a", "2", "3") == [409, 201]
        assert server.url == url


def test_on_a_small_machine_a_rested_server_makes_way_and_comes_back() -> None:
    pool = Pool(room=1)
    try:
        first = pool.take("opensearch2")
        created(first, "hltmode-a", "1")
        second = pool.take("elasticsearch8")
        assert (first.running, second.running) == (False, True)
        assert pool.take("opensearch2") is first
        assert (first.running, second.running) == (True, False)
        assert count(first, "hltmode-a") == 1
    finally:
        pool.remove()


def test_a_killed_elasticsearch_leaves_nothing_running() -> None:
    with IndexServer(ELASTICSEARCH_9, java_options=QUICK_START) as server:
        group = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(group) > 1
        server.kill()
        assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in group)


def test_a_server_ends_with_a_starter_that_is_killed() -> None:
    program = (
        "import sys, time\n"
        "from tests.servers.releases import OPENSEARCH_2\n"
        "from tests.servers.server import IndexServer\n"
        "server = IndexServer(OPENSEARCH_2)\n"
        "server.launch()\n"
        "print(server.pid, server.folder.parent, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid, folder = starter.stdout.readline().split()
        server = psutil.Process(int(pid))
        wait_for("the server's own user", lambda: server.uids().real != 0 and server.name() != "setpriv")
        starter.kill()
    wait_for("the server's end", lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    shutil.rmtree(folder)


def test_a_server_that_cannot_start_shows_the_end_of_its_log() -> None:
    with (
        pytest.raises(Surroundings, match=r"no\.such\.setting"),
        IndexServer(OPENSEARCH_2, extra={"no.such.setting": 1}, java_options=QUICK_START),
    ):
        pass


def test_a_cluster_of_three_outlives_one_node() -> None:
    with IndexCluster(OPENSEARCH_2, heap_mb=384) as cluster:
        first, second, third = cluster.nodes
        first.ask("/hltmode-a", {"settings": {"number_of_shards": 3, "number_of_replicas": 1}}, "PUT")
        first.ask("/_cluster/health?wait_for_status=green&timeout=25s")
        created(first, "hltmode-a", "1", "2", "3")
        second.kill()
        assert third.ask("/_cluster/health?wait_for_nodes=2&wait_for_status=yellow&timeout=25s")["timed_out"] is False
        assert created(third, "hltmode-a", "3", "4") == [409, 201]
        assert count(first, "hltmode-a") == 4
        second.start()
        assert first.ask("/_cluster/health?wait_for_nodes=3&timeout=25s")["timed_out"] is False


def test_a_request_that_is_cut_was_carried_out(opensearch3: IndexServer, prefix: str) -> None:
    with (
        FaultProxy(opensearch3.url) as proxy,
        closing(opensearchpy.OpenSearch(proxy.url, max_retries=0)) as client,
    ):
        proxy.switch(Cut())
        with pytest.raises(opensearchpy.exceptions.ConnectionError):
            client.create(index=f"{prefix}a", id="1", body={"lumisection": 7})
        proxy.switch(Pass())
        with pytest.raises(opensearchpy.exceptions.ConflictError):
            client.create(index=f"{prefix}a", id="1", body={"lumisection": 7})


def test_the_clients_meet_the_proxy_s_faults_as_errors_of_their_own(elasticsearch9: IndexServer) -> None:
    with (
        FaultProxy(elasticsearch9.url) as proxy,
        closing(elasticsearch.Elasticsearch(proxy.url, max_retries=0)) as client,
    ):
        assert client.cluster.health()["status"] in {"green", "yellow"}
        proxy.switch(Status(429))
        with pytest.raises(elasticsearch.ApiError) as refused:
            client.cluster.health()
        assert refused.value.status_code == 429
        proxy.switch(Garble(truncated=False))
        with pytest.raises(elasticsearch.SerializationError):
            client.cluster.health()
        for mode in (Garble(), Refuse()):
            proxy.switch(mode)
            with pytest.raises(elasticsearch.ConnectionError):
                client.cluster.health()
