"""rsyslog with omelasticsearch as the manual has it: a file is read, and its lines go to an index in bulk requests.

Debian: `rsyslog` and `rsyslog-elasticsearch`. A disk-assisted queue, batches of a thousand, endless retries.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

BATCH: Final = 1000
MODULES: Final = ("/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib64/rsyslog")

CONFIGURATION: Final = """\
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="line" type="string" string="%msg%")
input(type="imfile" file="{lines}" tag="box" ruleset="ship")
ruleset(name="ship" queue.type="LinkedList" queue.filename="queue" queue.size="100000" queue.maxDiskSpace="4g"
        queue.dequeueBatchSize="{batch}" queue.saveOnShutdown="on") {{
    action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" searchIndex="{index}" searchType=""
           template="line" bulkmode="on" maxbytes="50m" action.resumeRetryCount="-1" action.resumeInterval="1"
           errorFile="{folder}/errors")
}}
"""


def program() -> str | None:
    """Returns rsyslogd when it can write to an index server, else None."""
    if not any((Path(folder) / "omelasticsearch.so").exists() for folder in MODULES):
        return None
    return shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin")


def lay_out(folder: Path, lines: Path, port: int, index: str) -> list[str]:
    """Writes the configuration into `folder` and returns the command; started again it goes on where it was."""
    found = program()
    assert found is not None
    folder.mkdir()
    configuration = folder / "rsyslog.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, lines=lines, port=port, index=index, batch=BATCH))
    return [found, "-n", "-f", str(configuration), "-i", str(folder / "pid")]
