"""One way to talk to Elasticsearch and OpenSearch, each through its own client.

A server's answer is a `Reply`, whatever its status; no answer, or one that nobody can read, is an error:

    IndexTrouble                 exit 5
    ├── NoAnswer                 what was sent may or may not have arrived
    │   ├── NotReached           nothing was sent: another host may be better
    │   └── UnreadableAnswer     it has arrived, and who knows what came of it
    ├── NotTrusted               the server's certificate is not good: nothing was sent
    └── WrongProduct             something else answers there

Retries are the caller's business, so the clients do none; of several hosts each request goes to the next.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from contract.errors import ConfigError, Surroundings
from contract.secrets import read_secrets
from contract.sink import Product, Sink

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
WORDS_LENGTH: Final = 200


class IndexTrouble(Surroundings):
    """The index server could not be asked."""


class NoAnswer(IndexTrouble):
    """Nobody answered in time: what was sent may or may not have arrived."""


class NotReached(NoAnswer):
    """No connection came about, or it broke at once."""


class UnreadableAnswer(NoAnswer):
    """An answer came that makes no sense."""


class NotTrusted(IndexTrouble):
    """The server's certificate can't be trusted."""


class WrongProduct(IndexTrouble):
    """Another kind of server answers."""


class Reply(NamedTuple):
    """What a server answered: HTTP status and decoded JSON (text where it was none)."""

    status: int
    body: Any

    @property
    def reason(self) -> str:
        """Why the server refused, in its own words, short."""
        error = self.body.get("error", self.body) if isinstance(self.body, dict) else self.body
        if isinstance(error, dict):
            error = f"{error.get('type', '')}: {error.get('reason', '')}".strip(": ")
        return " ".join(str(error).split())[:300]


class IndexClient(ABC):
    """A client of one sink. Not for several threads at once."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.where = ", ".join(sink.hosts)

    @abstractmethod
    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Reply:
        """Returns what the server answers, of whatever status. Raises IndexTrouble."""

    @abstractmethod
    def close(self) -> None:
        """Closes all connections."""


def connect(sink: Sink) -> IndexClient:
    """Returns a client for `sink`; nothing is sent yet. Raises ConfigError when a secret or CA file can't be read."""
    check_ca_file(sink)
    return _Elasticsearch(sink) if sink.kind is Product.ELASTICSEARCH else _OpenSearch(sink)


def check_ca_file(sink: Sink) -> None:
    """Raises ConfigError when the CA file can't be read: said at once, and not when the server first answers."""
    if not sink.ca_file:
        return
    try:
        Path(sink.ca_file).read_bytes()
    except OSError as error:
        why = f"cannot be read ({error.strerror}); see ca_file of sink {sink.name}"
        raise ConfigError(f"{sink.ca_file}: {why}") from error


def check_product(client: IndexClient) -> None:
    """Raises WrongProduct when another kind of server answers; a user who may not ask is believed.

    The Elasticsearch client looks by itself; the other one takes what comes.
    """
    if client.sink.kind is not Product.OPENSEARCH:
        return
    reply = client.request("GET", "/")
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return
    if is_busy(reply.status):
        raise NoAnswer(f"{client.where}: HTTP {reply.status}: {reply.reason}")
    version = reply.body.get("version", {}) if isinstance(reply.body, dict) else {}
    if reply.status >= HTTPStatus.BAD_REQUEST or version.get("distribution") != "opensearch":
        raise WrongProduct(f"{client.where}: not an OpenSearch server; see kind of sink {client.sink.name}")


def is_busy(status: int) -> bool:
    """Returns whether a server that answers so may well do better a little later."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


class _Elasticsearch(IndexClient):
    def __init__(self, sink: Sink) -> None:
        with _without_aiohttp():
            import elasticsearch  # noqa: PLC0415 - 30 MiB that a node with the other product need not carry

        super().__init__(sink)
        logging.getLogger("elastic_transport").setLevel(logging.CRITICAL)
        self._module = elasticsearch
        secrets = read_secrets(sink)
        more: dict[str, Any] = {"ca_certs": sink.ca_file} if sink.ca_file else {}
        self._client = elasticsearch.Elasticsearch(
            sink.hosts,
            basic_auth=secrets.basic,
            api_key=secrets.api_key or None,
            request_timeout=sink.timeout_s,
            max_retries=0,
            retry_on_timeout=False,
            meta_header=False,
            **more,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Reply:
        headers = {"accept": JSON} | ({"content-type": content_type} if body is not None else {})
        errors = self._module
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.ElasticsearchWarning)
                answer = self._client.perform_request(method, path, body=body, params=params, headers=headers)
        except errors.UnsupportedProductError as error:
            raise self._wrong_product() from error
        except errors.ApiError as error:
            if error.status_code == HTTPStatus.NOT_ACCEPTABLE:  # OpenSearch to this client's content type
                raise self._wrong_product() from error
            return Reply(error.status_code, error.body)
        except errors.SerializationError as error:
            raise UnreadableAnswer(f"{self.where}: an answer that can't be read") from error
        except errors.SSLError as error:
            raise _not_trusted(self.sink, error) from error
        except errors.ConnectionTimeout as error:
            raise NoAnswer(f"{self.where}: {_words(error)}") from error
        except errors.TransportError as error:
            raise NotReached(f"{self.where}: {_words(error)}") from error
        return Reply(answer.meta.status, answer.body)

    def close(self) -> None:
        self._client.close()

    def _wrong_product(self) -> WrongProduct:
        return WrongProduct(f"{self.where}: not an Elasticsearch server; see kind of sink {self.sink.name}")


class _OpenSearch(IndexClient):
    def __init__(self, sink: Sink) -> None:
        with _without_aiohttp():
            import opensearchpy  # noqa: PLC0415 - as above

        super().__init__(sink)
        for name in ("opensearch", "opensearchpy.trace"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._errors = opensearchpy.exceptions
        secrets = read_secrets(sink)
        headers = {"authorization": f"ApiKey {secrets.api_key}"} if secrets.api_key else {}
        self._client = opensearchpy.OpenSearch(
            sink.hosts,
            http_auth=secrets.basic,
            headers=headers,
            ca_certs=sink.ca_file or None,
            timeout=sink.timeout_s,
            max_retries=0,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Reply:
        headers = {"accept": JSON} | ({"content-type": content_type} if body is not None else {})
        errors = self._errors
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.OpenSearchWarning)
                answer = self._client.transport.perform_request(
                    method, path, params=params, body=body, headers=headers, timeout=self.sink.timeout_s
                )
        except errors.SSLError as error:
            raise _not_trusted(self.sink, error) from error
        except errors.ConnectionTimeout as error:
            raise NoAnswer(f"{self.where}: {_words(error)}") from error
        except errors.ConnectionError as error:
            raise NotReached(f"{self.where}: {_words(error)}") from error
        except errors.TransportError as error:
            return Reply(int(error.status_code), error.info or error.error)
        except errors.SerializationError as error:
            raise UnreadableAnswer(f"{self.where}: an answer that can't be read") from error
        return Reply(404 if answer is False else 200, answer)

    def close(self) -> None:
        self._client.close()


@contextmanager
def _without_aiohttp() -> Iterator[None]:
    """Hides aiohttp from a client that is loaded: both load it for asynchronous use, 10 MiB that nothing here needs."""
    if "aiohttp" in sys.modules:
        yield
        return
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # None has every import fail
    try:
        yield
    finally:
        del sys.modules["aiohttp"]


def _not_trusted(sink: Sink, error: Exception) -> NotTrusted:
    if "WRONG_VERSION_NUMBER" in _words(error):
        return NotTrusted(f"{', '.join(sink.hosts)}: speaks no TLS; write http:// if that is meant")
    return NotTrusted(f"{', '.join(sink.hosts)}: certificate not trusted ({_words(error)}); see ca_file of the sink")


def _words(error: Exception) -> str:
    """Returns the innermost cause, short: the clients wrap errors in errors."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    words = " ".join(str(error).split())
    if said := re.search(r"\[Errno -?\d+\] ([^()]+?)(?:\)|$)", words):
        return said[1]
    return words if len(words) <= WORDS_LENGTH else f"... {words[-WORDS_LENGTH:].partition(' ')[2]}"
