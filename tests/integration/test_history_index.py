"""`hltmode history` asks a log or an index: the same options, the same answers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.documents import Captured, Sighting, box_document
from collector.facts import ModeNow
from collector.history.past import Switchover
from contract.config import Node
from contract.journal import PHASES
from contract.modes import MODE_OF_CLOUD_STATE, Mode, Wanted
from contract.times import iso
from hltmode.main import cli
from tests.integration.node import secret
from tests.integration.shipping import Station, prepare, sink_of
from tests.servers.server import IndexServer
from tests.unit.test_collector_facts import make_box

pytestmark = pytest.mark.servers

SWITCHES = 400
DAY_S = 86400.0
BOUNDS_S = (2 * 3600.0, 12 * 3600.0, 20 * 3600.0)

QUESTIONS = [
    (),
    ("--since", "12h"),
    ("--until", "2h", "--limit", "7"),
    ("--node", "fu-c2f01-0?", "--outcome", "done", "--outcome", "refused"),
    ("--node", "fu-c2f01-0[12]"),
    ("--appliance", "bu-c2f0*", "--who", "sh*"),
    ("--slowest", "9"),
    ("--slowest", "5", "--phase", "drain"),
    ("--slowest", "5", "--phase", "stop_vms", "--since", "20h"),
    ("--who", "LevelZero", "--limit", "20"),
    ("--who", "nobody"),
]
FORMS = [("--json",), (), ("--csv",), ("--summary",), ("--summary", "--json")]


def switchover(dice: random.Random, seq: int, now_s: float, subsystem: str) -> Captured:
    """Returns a switch of some node some time ago; some are observed and of unknown duration, some at one moment."""
    to = dice.choice(list(Wanted))
    age_s = dice.choice([3600.0, 7200.0]) if seq % 7 == 0 else dice.uniform(0, DAY_S)
    # None crosses a bound of QUESTIONS while they are asked, of the log first and then of the index.
    age_s += 600.0 if any(bound_s - 600.0 <= age_s < bound_s for bound_s in BOUNDS_S) else 0.0
    started_s = now_s - age_s
    phases = {phase: round(dice.expovariate(0.05), 6) for phase in dice.sample(PHASES, dice.randint(0, 4))}
    duration_s = round(sum(phases.values()), 6)
    host = f"fu-c2f01-{dice.randint(1, 12):02}"
    fields: dict[str, object] = {
        "@timestamp": iso(started_s + duration_s), "host": host, "appliance": f"bu-c2f0{dice.randint(1, 3)}",
        "subsystem": subsystem, "switch_id": f"r{seq}", "who": dice.choice(["shift", "LevelZero", "sheriff"]),
        "reason": dice.choice(["", "fill over", "beam, soon"]),
        "from_mode": Mode.HLT if to is Wanted.CLOUD else Mode.CLOUD, "to": to,
        "outcome": dice.choices(["done", "refused", "superseded", "vms_failed"], [7, 1, 1, 1])[0], "why": "",
        "started": iso(started_s), "ended": iso(started_s + duration_s), "phases": phases, "was_stuck": seq % 9 == 0,
        "observed": not phases,
    }  # fmt: skip
    if phases:
        fields["duration_s"] = duration_s
    return Captured(kind="switchover", host=host, time_s=started_s + duration_s, fields=fields, key=str(seq))


def boxes(now_s: float, subsystem: str) -> Iterator[Captured]:
    """Yields the newest boxes of nodes of which some are stuck: they say so, or take too long."""
    states = [("off", 0.0), ("starting", 100.0), ("starting", 20.0), ("on", 300.0), ("stopping", 400.0)]
    for number, (state, age_s) in enumerate(states):
        node = Node(host=f"fu-c2f02-{number:02}", appliance="bu-c2f02", subsystem=subsystem)
        mode = MODE_OF_CLOUD_STATE[state]
        box = make_box(state, stuck=True if number == 1 else None, blocker="job 7" if number == 1 else None)
        now = ModeNow(mode=mode, since_s=now_s - age_s)
        yield box_document(Sighting(box=box), now, node, now_s)


@pytest.mark.parametrize(
    "each_server", ["opensearch3", "opensearch2", "elasticsearch8", "elasticsearch9"], indirect=True, scope="module"
)
def test_log_and_index_give_the_same_answers(each_server: IndexServer, tmp_path: Path) -> None:
    prepare(each_server)
    for name in ("box", "switchover", "current"):
        each_server.ask(f"/hltmode-{name}-*?ignore_unavailable=true", method="DELETE")
    now_s, dice, subsystem = time.time(), random.Random(5), "cdaq"
    station = Station(tmp_path, subsystem, sink_of(each_server, timeout_s=30.0, batch_documents=1000))
    station.append(*[switchover(dice, seq, now_s, subsystem) for seq in range(SWITCHES)], *boxes(now_s, subsystem))
    station.ship()
    station.wait_empty()
    station.end()
    each_server.ask("/hltmode-*/_refresh", method="POST")
    of_log = ("--log", str(station.log.path))
    of_index = ("--host", each_server.url, "--kind", each_server.product.value)
    for question in QUESTIONS:
        for form in FORMS if question in (QUESTIONS[0], QUESTIONS[-2]) else FORMS[:1]:
            log, index = history(*of_log, *question, *form), history(*of_index, *question, *form)
            assert log.exit_code == index.exit_code == 0, index.output
            assert log.stdout == index.stdout, question
    assert history(*of_log, "--json").stdout.count("\n") == SWITCHES
    stuck = [history(*where, "--stuck", "--json").stdout for where in (of_log, of_index)]
    assert stuck[0].count('"host":"fu-c2f02-') == 2
    assert sorted(stuck[0].splitlines()) == sorted(stuck[1].splitlines())
    each_server.ask("/hltmode-*", method="DELETE")


def history(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["history", *arguments])


def test_what_is_wrong_with_a_server_is_one_line(
    opensearch3: IndexServer, elasticsearch_secure: IndexServer, tmp_path: Path
) -> None:
    (tmp_path / "user").write_text("reader")
    secret(tmp_path / "password", "wrong")
    secrets = ("--username-file", str(tmp_path / "user"), "--password-file", str(tmp_path / "password"))
    trusted = ("--ca-file", str(elasticsearch_secure.ca_file))
    for arguments, words in (
        (("--host", "http://127.0.0.1:9", "--kind", "opensearch"), "127.0.0.1:9"),
        (("--host", opensearch3.url, "--kind", "elasticsearch"), "not an Elasticsearch server"),
        (("--host", opensearch3.url, "--kind", "opensearch"), "has no index hltmode-switchover-*"),
        (("--host", elasticsearch_secure.url, "--kind", "elasticsearch", *secrets), "certificate not trusted"),
        (("--host", elasticsearch_secure.url, "--kind", "elasticsearch", *secrets, *trusted), "HTTP 401"),
    ):
        opensearch3.ask("/hltmode-*?ignore_unavailable=true", method="DELETE")
        answer = history(*arguments)
        assert words in str(answer.exception), answer.exception
        assert "\n" not in str(answer.exception)


def test_every_field_that_is_read_is_one_that_is_written() -> None:
    fields = switchover(random.Random(1), 1, 1e9, "cdaq").fields
    assert set(Switchover.__struct_fields__) <= {*fields, "duration_s"}
