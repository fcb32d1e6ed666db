"""What the index servers of the tests are configured with."""

import base64
import hashlib
from pathlib import Path

import pytest

from tests.servers.java import Java, oldest_fit, parse_release
from tests.servers.plugin import left_out_words, resting
from tests.servers.releases import ELASTICSEARCH_8, OPENSEARCH_2, OPENSEARCH_3, RELEASES, Product
from tests.servers.settings import (
    USERS,
    Peer,
    Ports,
    User,
    as_yaml,
    heap_options,
    jvm_options_for,
    node_settings,
    password_hash,
    users_file,
    users_roles_file,
)

PORTS = Ports(http=20001, transport=20002)
PEERS = [Peer("node-1", 20002), Peer("node-2", 20004)]


def java(version: int, *modules: str) -> Java:
    return Java(Path(f"/java/{version}"), version, frozenset(modules))


def test_a_server_alone_is_a_cluster_of_its_own() -> None:
    made = node_settings(Product.OPENSEARCH, "node-1", PORTS)
    assert made["discovery.type"] == "single-node"
    assert (made["http.port"], made["transport.port"]) == (20001, 20002)


def test_every_server_listens_on_loopback_only() -> None:
    for product in Product:
        assert node_settings(product, "node-1", PORTS)["network.host"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("product", "key"),
    [
        (Product.OPENSEARCH, "cluster.initial_cluster_manager_nodes"),
        (Product.ELASTICSEARCH, "cluster.initial_master_nodes"),
    ],
)
def test_nodes_of_a_cluster_know_each_other(product: Product, key: str) -> None:
    made = node_settings(product, "node-1", PORTS, peers=PEERS)
    assert made["discovery.seed_hosts"] == ["127.0.0.1:20002", "127.0.0.1:20004"]
    assert made[key] == ["node-1", "node-2"]
    assert "discovery.type" not in made


def test_extra_settings_go_over_all_others() -> None:
    made = node_settings(Product.OPENSEARCH, "node-1", PORTS, extra={"cluster.name": "mine", "a.b": 1})
    assert made["cluster.name"] == "mine"
    assert made["a.b"] == 1


def test_elasticsearch_without_security_says_so() -> None:
    assert node_settings(Product.ELASTICSEARCH, "n", PORTS)["xpack.security.enabled"] is False


def test_a_secured_elasticsearch_speaks_tls() -> None:
    made = node_settings(Product.ELASTICSEARCH, "n", PORTS, secured=True)
    assert made["xpack.security.enabled"] is True
    assert made["xpack.security.http.ssl.enabled"] is True


def test_opensearch_cannot_be_secured() -> None:
    with pytest.raises(ValueError, match="no security plugin"):
        node_settings(Product.OPENSEARCH, "n", PORTS, secured=True)


def test_settings_are_written_as_flat_yaml() -> None:
    text = as_yaml({"a.b": "x: y", "c": False, "d": ["e", "f"], "g": 1})
    assert text == 'a.b: "x: y"\nc: false\nd: ["e", "f"]\ng: 1\n'


def test_the_heap_has_a_fixed_size() -> None:
    assert heap_options(256, ["-XX:+Quick"]) == "-Xms256m\n-Xmx256m\n-XX:+Quick\n"


def test_a_java_without_the_vector_module_is_not_asked_for_it() -> None:
    text = "-XX:+UseG1GC\n20-:--add-modules=jdk.incubator.vector\n-Xmx1g\n"
    assert jvm_options_for(java(21), text) == "-XX:+UseG1GC\n-Xmx1g\n"
    assert jvm_options_for(java(21, "jdk.incubator.vector"), text) == text


def test_users_stand_with_their_roles() -> None:
    users = [User("ann", "x", ("reader", "writer")), User("bob", "y", ("reader",))]
    assert users_roles_file(users) == "reader:ann,bob\nwriter:ann\n"
    assert [line.split(":")[0] for line in users_file(users).splitlines()] == ["ann", "bob"]


def test_passwords_are_hashed_as_the_file_realm_reads_them() -> None:
    form, salt, digest = password_hash(USERS[0]).split("$")
    assert form == "{PBKDF2}1000"
    wanted = hashlib.pbkdf2_hmac("sha512", USERS[0].password.encode(), base64.b64decode(salt), 1000, 32)
    assert base64.b64decode(digest) == wanted


def test_a_release_file_tells_version_and_modules() -> None:
    found = parse_release(Path("/java"), 'IMPLEMENTOR="x"\nJAVA_VERSION="25.0.3"\nMODULES="java.base jdk.net"\n')
    assert found == Java(Path("/java"), 25, frozenset({"java.base", "jdk.net"}))
    old = parse_release(Path("/java"), 'JAVA_VERSION="1.8.0_402"\n')
    assert old is not None
    assert old.version == 8
    assert parse_release(Path("/java"), "nothing of use") is None


def test_the_oldest_java_that_fits_is_taken() -> None:
    found = [java(25), java(17), java(21), java(11)]
    assert oldest_fit(ELASTICSEARCH_8, found) == java(17)
    assert oldest_fit(OPENSEARCH_3, found) == java(21)
    assert oldest_fit(OPENSEARCH_2, [java(25)]) is None


def test_java_21_runs_every_release() -> None:
    assert all(release.runs_on(21) for release in RELEASES)


def test_the_longest_unused_server_makes_way() -> None:
    assert resting(["old", "middle", "new"], 1) == ["old", "middle"]
    assert resting(["old"], 1) == []


def test_the_summary_names_files_and_reason() -> None:
    words = left_out_words(["tests/a.py::test_1", "tests/a.py::test_2", "tests/b.py::test_3"], ["no server"])
    assert words == "3 tests left out in tests/a.py, tests/b.py: no server"
