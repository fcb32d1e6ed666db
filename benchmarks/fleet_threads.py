"""What outside callers do today: a thread for each node asks it to leave and looks once a second whether it has.

`python -m benchmarks.fleet_threads FARM`, with a farm's file of nodes. Each waits 240 s at most.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from pathlib import Path
from typing import Final

AT_MOST_S: Final = 240.0
LOOK_EVERY_S: Final = 1.0
SMALL_STACK: Final = 256 << 10  # bytes; the default of 8 MiB is only reserved, not used


def main() -> None:
    """Moves all nodes of a file and says how many are there."""
    threading.stack_size(SMALL_STACK)
    addresses = [line.split()[2] for line in Path(sys.argv[1]).read_text().splitlines()]
    there: list[str] = []
    threads = [threading.Thread(target=move, args=(address, there)) for address in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(there)} of {len(addresses)} are in cloud")


def move(address: str, there: list[str]) -> None:
    """Asks one node and looks until it is there, or its time is over."""
    end_s = time.monotonic() + AT_MOST_S
    get(address, "exclude_cgi.py")
    while time.monotonic() < end_s:
        if not get(address, "cloud_mode_active_cgi.py").startswith(b"0"):
            there.append(address)
            return
        time.sleep(LOOK_EVERY_S)


def get(address: str, page: str) -> bytes:
    """Returns one page; what goes wrong is looked at again a second later."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", f"/cgi-bin/{page}")
        return connection.getresponse().read()
    except OSError:
        return b"0"
    finally:
        connection.close()


if __name__ == "__main__":
    main()
