"""Which servers the tests know, where their archives come from, and where they lie once they are fetched."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Final

import msgspec

CACHE_VARIABLE: Final = "HLTMODE_SERVERS"


class Product(enum.Enum):
    """The two kinds of server; the value is the word that begins its file names, settings and variables."""

    OPENSEARCH = "opensearch"
    ELASTICSEARCH = "elasticsearch"

    @property
    def prefix(self) -> str:
        """How the names of its environment variables begin."""
        return {Product.OPENSEARCH: "OPENSEARCH", Product.ELASTICSEARCH: "ES"}[self]


class Release(msgspec.Struct, frozen=True):
    """One version of a product: the sum and size of its archive, and the Java versions it runs on."""

    product: Product
    version: str
    sha256: str
    size_bytes: int
    java_from: int
    java_to: int = 99

    @property
    def name(self) -> str:
        """The folder name, such as `opensearch-3.4.0`."""
        return f"{self.product.value}-{self.version}"

    @property
    def group(self) -> str:
        """The Maven group of the archive."""
        return f"org.{self.product.value}.distribution.integ-test-zip"

    @property
    def artifact(self) -> str:
        """The archive as Maven wants it named."""
        return f"{self.group}:{self.product.value}:{self.version}:zip"

    def archive(self, repository: Path) -> Path:
        """Returns where the archive lies in a local Maven repository."""
        return repository.joinpath(*self.group.split("."), self.product.value, self.version, f"{self.name}.zip")

    def runs_on(self, java: int) -> bool:
        """Returns whether it runs on that Java."""
        return self.java_from <= java <= self.java_to


OPENSEARCH_3: Final = Release(
    Product.OPENSEARCH,
    "3.4.0",
    "6540e95fe8bfaedc3eb1c58e829912ea2203af2ac1f88f76411c20a2fc5254a6",
    133_384_684,
    java_from=21,
)
OPENSEARCH_2: Final = Release(
    Product.OPENSEARCH,
    "2.19.4",
    "3902e642715210d1d9d7cbdcc8f5abd6f931d1d7a679cea3750937becf16c406",
    56_192_149,
    java_from=17,
    java_to=23,  # it asks for the security manager, which Java 24 no longer has
)
ELASTICSEARCH_8: Final = Release(
    Product.ELASTICSEARCH,
    "8.19.0",
    "14833b2d86c30656901f92049f81fb5777a8e4545413c8656cd1a21b55173033",
    97_002_615,
    java_from=17,
)
ELASTICSEARCH_9: Final = Release(
    Product.ELASTICSEARCH,
    "9.2.0",
    "bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b",
    99_253_337,
    java_from=21,
)
RELEASES: Final = (OPENSEARCH_3, OPENSEARCH_2, ELASTICSEARCH_8, ELASTICSEARCH_9)


def cache_folder() -> Path:
    """Returns the folder that keeps the unpacked servers: HLTMODE_SERVERS, or one in the user's cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "hltmode" / "servers")


def unpacked(release: Release) -> Path:
    """Returns where the release lies once it is fetched. It is there whole or not at all."""
    return cache_folder() / release.name
