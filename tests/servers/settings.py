"""What stands in a server's configuration files, as plain values and text. Touches no file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tests.servers.java import Java
from tests.servers.releases import Product

LOOPBACK: Final = "127.0.0.1"
VECTOR_MODULE: Final = "jdk.incubator.vector"

# The roles of a secured server. The writer is what the manual asks the site to make for the collectors: it creates
# documents, and the index that a template describes, and can neither change nor remove nor read anything.
ROLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "hltmode_writer": {
        "cluster": [],
        "indices": [{"names": ["hltmode-*"], "privileges": ["create_doc", "auto_configure"]}],
    },
    "hltmode_reader": {
        "cluster": ["monitor"],
        "indices": [{"names": ["hltmode-*"], "privileges": ["read", "view_index_metadata"]}],
    },
}


class User(msgspec.Struct, frozen=True):
    """A user of a secured server."""

    name: str
    password: str
    roles: tuple[str, ...]


ADMIN: Final = User("admin", "admin-of-the-tests", ("superuser",))
WRITER: Final = User("writer", "writer-of-the-tests", ("hltmode_writer",))
READER: Final = User("reader", "reader-of-the-tests", ("hltmode_reader",))
USERS: Final = (ADMIN, WRITER, READER)


class Ports(msgspec.Struct, frozen=True):
    """The two ports of a server."""

    http: int
    transport: int


class Peer(msgspec.Struct, frozen=True):
    """A node of a cluster as the others know it."""

    name: str
    transport: int


def node_settings(
    product: Product,
    name: str,
    ports: Ports,
    *,
    peers: Sequence[Peer] = (),
    secured: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the settings of one node; without `peers` it is a cluster of its own. `extra` goes over all others."""
    return {
        "cluster.name": "hltmode-tests",
        "node.name": name,
        "network.host": LOOPBACK,
        "http.port": ports.http,
        "transport.port": ports.transport,
        # a developer's full disk would otherwise turn every index read-only
        "cluster.routing.allocation.disk.threshold_enabled": False,
        # tests remove their indices by pattern
        "action.destructive_requires_name": False,
        **discovery(product, peers),
        **security(product, secured=secured),
        **(extra or {}),
    }


def discovery(product: Product, peers: Sequence[Peer]) -> dict[str, Any]:
    """Returns how a node finds the others."""
    if not peers:
        return {"discovery.type": "single-node"}
    word = {Product.OPENSEARCH: "cluster_manager", Product.ELASTICSEARCH: "master"}[product]
    return {
        "discovery.seed_hosts": [f"{LOOPBACK}:{peer.transport}" for peer in peers],
        f"cluster.initial_{word}_nodes": [peer.name for peer in peers],
    }


def security(product: Product, *, secured: bool) -> dict[str, Any]:
    """Returns the settings of users and TLS; the certificate lies beside the settings file."""
    if product is Product.OPENSEARCH:
        if secured:
            raise ValueError("the OpenSearch archive has no security plugin: use Elasticsearch")
        return {}
    if not secured:
        return {"xpack.security.enabled": False}
    return {
        "xpack.security.enabled": True,
        "xpack.security.http.ssl.enabled": True,
        "xpack.security.http.ssl.certificate": "server.pem",
        "xpack.security.http.ssl.key": "server.key",
        "xpack.security.authc.realms.file.users.order": 0,
    }


def as_yaml(settings: Mapping[str, Any]) -> str:
    """Returns flat settings as a file; every JSON value is YAML."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


def heap_options(heap_mb: int, more: Sequence[str] = ()) -> str:
    """Returns the JVM options of a heap of fixed size, and `more` of them."""
    return "".join(f"{option}\n" for option in (f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", *more))


def jvm_options_for(java: Java, text: str) -> str:
    """Returns the distribution's JVM options without the module that a cut-down Java lacks and would stop at."""
    if VECTOR_MODULE in java.modules:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if VECTOR_MODULE not in line)


def users_file(users: Sequence[User]) -> str:
    """Returns the file realm's users with their hashed passwords."""
    return "".join(f"{user.name}:{password_hash(user)}\n" for user in users)


def users_roles_file(users: Sequence[User]) -> str:
    """Returns the file realm's roles, each with the users who have it."""
    roles = sorted({role for user in users for role in user.roles})
    return "".join(f"{role}:{','.join(user.name for user in users if role in user.roles)}\n" for role in roles)


def password_hash(user: User) -> str:
    """Returns the password in the form that the file realm reads, salted with the user's name: no secret is kept."""
    rounds = 1000
    salt = hashlib.sha256(user.name.encode()).digest()
    digest = hashlib.pbkdf2_hmac("sha512", user.password.encode(), salt, rounds, dklen=32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
