"""The beam mode from real servers: plain text, JSON, a Prometheus; and what each failure is called."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from contract.beam import BeamMode
from fleet.follow.beam_sources import NoBeamMode, reader
from fleet.follow.gauges import Shown, registry
from fleet.follow.policy_file import BeamSource
from tests.integration.node import wait_for
from tests.ports import free_port
from tests.servers.listener import Listener
from tests.servers.prometheus import PrometheusServer


def read(source: BeamSource) -> BeamMode:
    async def once() -> BeamMode:
        return await reader(source)()

    return asyncio.run(once())


def said(source: BeamSource) -> str:
    with pytest.raises(NoBeamMode) as raised:
        read(source)
    return str(raised.value)


@pytest.mark.parametrize(
    ("page", "field", "mode"),
    [
        ("STABLE BEAMS\n", "", BeamMode.STABLE_BEAMS),
        ("  stable_beams", "", BeamMode.STABLE_BEAMS),
        ('"Ramp Down"', "", BeamMode.RAMP_DOWN),
        ('{"beam_mode": "SQUEEZE"}', "beam_mode", BeamMode.SQUEEZE),
        ('{"lhc": {"mode": "NOBEAM", "fill": 7}}', "lhc.mode", BeamMode.NO_BEAM),
        ('{"lhc": {"mode": 4}}', "lhc.mode", BeamMode.ADJUST),
    ],
)
def test_an_answer_over_http_is_understood(page: str, field: str, mode: BeamMode) -> None:
    names = {"NOBEAM": "NO BEAM", "4": "ADJUST"}
    with Listener(page) as listener:
        assert read(BeamSource(url=listener.url, field=field, names=names)) is mode


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", "says nothing, which is no beam mode; see beam.names"),
        ("MACHINE DEVELOPMENT", "says 'MACHINE DEVELOPMENT', which is no beam mode"),
        ("x" * 100_000, "which is no beam mode"),
        ("{", "no JSON"),
        ('{"mode": "RAMP"}', "there is no beam_mode in the answer; see beam.field"),
        ('{"beam_mode": {"x": 1}}', "which is no beam mode"),
    ],
)
def test_what_is_no_beam_mode_is_told_as_such(page: str, words: str) -> None:
    with Listener(page) as listener:
        assert words in said(BeamSource(url=listener.url))


def test_a_server_that_is_gone_silent_or_cross_is_named() -> None:
    assert "not reached" in said(BeamSource(url=f"http://127.0.0.1:{free_port()}/"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no answer within 0.3 s" in said(
            BeamSource(url=f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.3)
        )
    with Listener("RAMP") as listener:
        assert "not a Prometheus' answer: RAMP" in said(BeamSource(prometheus=listener.url))


def test_a_file_that_is_gone_or_old_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "beam"
    assert "cannot be read (No such file or directory)" in said(BeamSource(file=str(path)))
    path.write_text("RAMP\n")
    assert read(BeamSource(file=str(path), max_age_s=60.0)) is BeamMode.RAMP
    assert "not written for" in said(BeamSource(file=str(path), max_age_s=1e-9))


@pytest.mark.servers
def test_a_real_prometheus_tells_the_mode_that_a_follower_exports(tmp_path: Path) -> None:
    page = generate_latest(registry(lambda: Shown(beam=BeamMode.INJECTION_PROBE_BEAM))).decode()
    with Listener(page) as listener:
        scrape = {"job_name": "beam", "static_configs": [{"targets": [f"127.0.0.1:{listener.port}"]}]}
        config = yaml.safe_dump({"global": {"scrape_interval": "200ms"}, "scrape_configs": [scrape]})
        with PrometheusServer(config, tmp_path / "prometheus") as server:
            source = BeamSource(prometheus=server.url)
            assert "0 of 0 series are 1, and one is wanted" in said(BeamSource(prometheus=server.url, query="nothing"))
            assert "refuses the query (HTTP 400" in said(BeamSource(prometheus=server.url, query="{"))
            wait_for("the series", lambda: bool(server.query("hltd_beam_mode")))
            assert read(source) is BeamMode.INJECTION_PROBE_BEAM
            many = BeamSource(prometheus=server.url, query="hltd_beam_mode >= bool 0")
            assert "20 of 20 series are 1" in said(many)
