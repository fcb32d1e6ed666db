"""Questions to an index server by plain HTTP, one after the other.

`hltmode history` asks two questions and ends. The products' own clients take half a second to be imported, and make
dictionaries of what a struct could be made of. What they see to is seen to here: TLS, who asks, and another host when
one can't be reached. Errors are those of `collector.index.clients`.
"""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from collector.index.clients import JSON, IndexTrouble, NoAnswer, NotReached, NotTrusted, WrongProduct
from contract.errors import ConfigError
from contract.secrets import read_secrets
from contract.sink import Product, Sink

LARGEST_BYTES: Final = 256 << 20  # of an answer; a page of 10,000 switchovers has 6 MB
MARK: Final = "X-Elastic-Product"  # the header by which Elasticsearch makes itself known


class Answered(NamedTuple):
    """HTTP status and body."""

    status: int
    content: bytes


class Asking:
    """A way to the server of one sink. Raises ConfigError when a secret or the CA file can't be read."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.where = ", ".join(sink.hosts)
        self._headers = {"Accept": JSON, "Content-Type": JSON} | _credentials(sink)
        self._tls = _tls(sink)
        self._hosts = list(sink.hosts)  # the one that answered last is the first
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes) -> Answered:
        """Returns what the server answers, of whatever status. Raises IndexTrouble."""
        failed: list[NoAnswer] = []
        for host in list(self._hosts):
            try:
                answered = self._ask(host, path, body)
            except NoAnswer as error:
                self.close()
                failed.append(error)
                continue
            except IndexTrouble:
                self.close()
                raise
            self._hosts.remove(host)
            self._hosts.insert(0, host)
            return answered
        raise type(failed[-1])("; ".join(map(str, failed)))

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, host: str, path: str, body: bytes) -> Answered:
        if self._connection is None:
            self._connection = self._connect(host)
        try:
            self._connection.request("POST", path, body, self._headers)
            response = self._connection.getresponse()
            content = response.read(LARGEST_BYTES)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message or error.reason
            raise NotTrusted(f"{host}: certificate not trusted ({why}); see ca_file of the sink") from error
        except TimeoutError as error:
            raise NoAnswer(f"{host}: no answer within {self.sink.timeout_s:g} s") from error
        except OSError as error:
            raise NotReached(f"{host}: not reached ({error.strerror or error})") from error
        except http.client.HTTPException as error:
            words = " ".join(str(error).split())[:80] or type(error).__name__
            raise NotReached(f"{host}: the connection broke, or it speaks no HTTP ({words})") from error
        if not response.isclosed():
            raise WrongProduct(f"{host}: an answer of more than {LARGEST_BYTES >> 20} MiB; not what was asked for")
        if response.status < HTTPStatus.BAD_REQUEST:
            self._check_product(host, marked=response.getheader(MARK) is not None)
        return Answered(response.status, content)

    def _check_product(self, host: str, *, marked: bool) -> None:
        elastic = self.sink.kind is Product.ELASTICSEARCH
        if marked is not elastic:
            wanted = "an Elasticsearch" if elastic else "an OpenSearch"
            raise WrongProduct(f"{host}: not {wanted} server; see kind of sink {self.sink.name}")

    def _connect(self, host: str) -> http.client.HTTPConnection:
        url = urlsplit(host)
        try:
            if self._tls is not None and url.scheme == "https":
                return http.client.HTTPSConnection(url.netloc, timeout=self.sink.timeout_s, context=self._tls)
            return http.client.HTTPConnection(url.netloc, timeout=self.sink.timeout_s)
        except http.client.InvalidURL as error:
            raise ConfigError(f"{host}: no address ({error}); see hosts of sink {self.sink.name}") from error


def _credentials(sink: Sink) -> dict[str, str]:
    secrets = read_secrets(sink)
    if secrets.api_key:
        return {"Authorization": f"ApiKey {secrets.api_key}"}
    if secrets.basic:
        return {"Authorization": f"Basic {b64encode(':'.join(secrets.basic).encode()).decode()}"}
    return {}


def _tls(sink: Sink) -> ssl.SSLContext | None:
    """Returns whom to trust: the CA file, or without one the machine's own list; None where no host speaks TLS."""
    if not any(host.startswith("https:") for host in sink.hosts):
        return None
    try:
        return ssl.create_default_context(cafile=sink.ca_file or None)
    except OSError as error:
        raise ConfigError(
            f"{sink.ca_file}: not to be used as a CA file ({error.strerror or error}); see ca_file of sink {sink.name}"
        ) from error
