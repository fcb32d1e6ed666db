"""A policy as people write it: one TOML file. What is wrong in it is one line with file, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from contract.beam import WHOLE_FARM_WANTED, BeamMode, beam_mode
from contract.config import nearest, read_table
from contract.errors import ConfigError
from contract.modes import Wanted
from contract.value_types import NotNegative, Port, Positive
from fleet.farm import Farm
from fleet.follow.policy import Policy, Rule, Want
from fleet.hosts import expand, place_of
from fleet.node_sets import BadHosts
from fleet.rollout import USUAL, BadRamp, Ramp, stage_sizes

Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Patience = Annotated[float, msgspec.Meta(gt=0, le=900)]
Deadline = Annotated[float, msgspec.Meta(ge=1, le=86_400)]

RANGE: Final = re.compile(r"\s*\.\.\.?\s*")
ORDER: Final = tuple(BeamMode)
SOURCES: Final = ("file", "url", "prometheus")


class BeamSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the beam mode is read, every `every_s`: one of `file`, `url` and `prometheus` (its address).

    An answer that is JSON has the mode at `field`, such as `lhc.beam_mode`. Prometheus is asked `query`; of its series
    the one that is 1 has the mode in `label`. `names` says what other words mean. A file that was not written for
    `max_age_s` is silent (0: any age will do). After `patience_s` without a known mode HLT is wanted.
    """

    file: str = ""
    url: str = ""
    prometheus: str = ""
    field: str = "beam_mode"
    query: str = "hltd_beam_mode == 1"
    label: str = "mode"
    names: dict[str, str] = {}
    every_s: Positive = 5.0
    timeout_s: Positive = 5.0
    max_age_s: NotNegative = 0.0
    patience_s: Patience = 120.0


class Turns(msgspec.Struct, frozen=True, kw_only=True):
    """Between two turns towards the cloud lie `between_s`; nodes that are not back are asked again after `again_s`."""

    between_s: NotNegative = 1800.0
    again_s: Positive = 60.0


class ToCloud(msgspec.Struct, frozen=True, kw_only=True):
    """How an exclusion spreads; the keys are the options of `hltmode fleet exclude`."""

    ramp: Annotated[list[str], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(USUAL[Wanted.CLOUD].stages)
    )
    pause_s: NotNegative = 0.0
    in_flight: AtLeastOne = 1500
    per_second: Positive = 1000.0
    stop_share: Share = 0.1
    prefer_idle: bool = False
    limit_s: Positive | None = None
    hurry: bool = False
    deadline_s: Deadline | None = None

    @property
    def spreads(self) -> Ramp:
        """The stages and limits."""
        return Ramp(
            stages=tuple(self.ramp), pause_s=self.pause_s, in_flight=self.in_flight, per_s=self.per_second,
            bad_share=self.stop_share, bad_at_least=2,
        )  # fmt: skip


class ToHlt(msgspec.Struct, frozen=True, kw_only=True):
    """How nodes are asked back: all at once, and never stopped because some are bad."""

    in_flight: AtLeastOne = 1500
    per_second: Positive = 1000.0
    limit_s: Positive | None = None

    @property
    def spreads(self) -> Ramp:
        """The stages and limits."""
        return Ramp(in_flight=self.in_flight, per_s=self.per_second, bad_share=1.0)


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Where Prometheus scrapes the follower; port 0 takes any."""

    bind: str = "0.0.0.0"  # noqa: S104 - Prometheus scrapes from another host
    port: Port = 9110


class WrittenRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it is written: modes by name, or as `FIRST .. LAST` in the order of a fill."""

    modes: Annotated[list[str], msgspec.Meta(min_length=1)]
    want: Want
    name: str = ""
    after_s: NotNegative | None = None
    keep: Count | None = None


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `who` is how operations of the follower are signed; `hosts` are all nodes when empty.

    The nodes are looked at every `look_every_s`.
    """

    rule: Annotated[list[WrittenRule], msgspec.Meta(min_length=1)]
    beam: BeamSource
    who: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] = "fleet-follow"
    hosts: list[str] = []
    look_every_s: Positive = 30.0
    turns: Turns = Turns()
    to_cloud: ToCloud = msgspec.field(default_factory=ToCloud)
    to_hlt: ToHlt = ToHlt()
    metrics: Metrics = Metrics()


class Read(msgspec.Struct, frozen=True):
    """A file that was read and found without contradiction, and the policy that it comes to."""

    file: PolicyFile
    policy: Policy


def load(path: Path) -> Read:
    """Returns the policy of `path`. Raises ConfigError."""
    table = read_table(path, "--policy")
    where = str(path)
    _known_keys(table, PolicyFile, where, "")
    try:
        file = msgspec.convert(table, PolicyFile)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at `$.")
        if word := re.fullmatch(r"Invalid enum value '(.*)'", message):
            message = f"{word[1]} is no place for the farm{nearest(word[1], list(Want))}"
        if lacking := re.fullmatch(r"Object missing required field `(\w+)`", message):
            message = f"lacks {lacking[1]}; write it (`hltmode fleet policy --help` names a manual)"
        raise ConfigError(f"{where}: {_counted(key.rstrip('`')) or 'file'}: {message}") from error
    _check_source(file.beam, where)
    _check_ramp(file.to_cloud, where)
    turns = file.turns
    return Read(
        file,
        Policy(
            rules=_rules(file.rule, where),
            patience_s=file.beam.patience_s,
            between_s=turns.between_s,
            again_s=turns.again_s,
        ),
    )


def check_farm(read: Read, nodes: int, where: str) -> None:
    """Holds the policy against a farm of so many nodes. Raises ConfigError."""
    for number, rule in enumerate(read.policy.rules, 1):
        if rule.want is Want.CLOUD and rule.keep >= nodes:
            raise ConfigError(
                f"{where}: rule[{number}].keep: {rule.keep} of {nodes} nodes are kept, so it never sends any; "
                f"write less than {nodes}"
            )


def farm_of(read: Read, whole: Farm, where: str) -> Farm:
    """Returns the farm with the policy's nodes only. Raises BadHosts, ConfigError when that does not fit."""
    if not read.file.hosts and not whole.places:
        raise BadHosts(f"{where}: hosts: no node is named; write them there or give --nodes")
    names = expand(read.file.hosts, whole.places) if read.file.hosts else list(whole.places)
    check_farm(read, len(names), where)
    return whole._replace(places={name: place_of(name, whole.places) for name in names})


def _rules(written: Iterable[WrittenRule], where: str) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    named: dict[BeamMode, int] = {}
    for number, each in enumerate(written, 1):
        key = f"{where}: rule[{number}]"
        modes = [mode for text in each.modes for mode in _modes(text, f"{key}.modes")]
        for mode in modes:
            if mode in named:
                raise ConfigError(_twice(key, mode, named[mode], each, rules))
            named[mode] = number
        _check_rule(each, modes, key)
        rules.append(
            Rule(
                name=each.name or f"rule {number}",
                modes=frozenset(modes),
                want=each.want,
                after_s=each.after_s or 0.0,
                keep=each.keep or 0,
            )
        )
    return tuple(rules)


def _twice(key: str, mode: BeamMode, first: int, second: WrittenRule, rules: list[Rule]) -> str:
    if first > len(rules):
        return f"{key}.modes: {mode} stands there twice; take one out"
    other = rules[first - 1]
    contradiction = (other.want, other.after_s, other.keep) != (second.want, second.after_s or 0.0, second.keep or 0)
    words = f"wants {other.want.value} and not {second.want.value}" if other.want is not second.want else "differs"
    why = f", which {words}" if contradiction else " already"
    return f"{key}.modes: {mode} is in rule[{first}]{why}; leave it in one of them"


def _check_rule(rule: WrittenRule, modes: Iterable[BeamMode], key: str) -> None:
    if rule.want is not Want.HLT and (never := sorted(set(modes) & WHOLE_FARM_WANTED)):
        raise ConfigError(f"{key}.modes: {never[0]} wants the whole farm in HLT, whatever a rule says; take it out")
    if rule.want is not Want.CLOUD:
        if rule.after_s:
            raise ConfigError(f"{key}.after_s: only the way to the cloud waits, and this rule wants {rule.want.value}; "
                              "take it out")  # fmt: skip
        if rule.keep is not None:
            raise ConfigError(f"{key}.keep: only the way to the cloud keeps nodes, and this rule wants "
                              f"{rule.want.value}; take it out")  # fmt: skip


def _modes(text: str, key: str) -> tuple[BeamMode, ...]:
    """Returns the modes that `text` names: one, or those from one to another in the order of a fill."""
    ends = [_mode(word, key) for word in RANGE.split(text.strip())]
    if len(ends) == 1:
        return (ends[0],)
    first, last = ORDER.index(ends[0]), ORDER.index(ends[-1])
    if len(ends) > 2 or first >= last:
        raise ConfigError(f"{key}: {text}: write FIRST .. LAST in the order {' · '.join(ORDER)}")
    return ORDER[first : last + 1]


def _mode(word: str, key: str) -> BeamMode:
    mode = beam_mode(word)
    if mode is None:
        raise ConfigError(f"{key}: {word} is no beam mode{nearest(word.upper(), [mode.value for mode in ORDER])}")
    return mode


def _check_source(beam: BeamSource, where: str) -> None:
    given = [name for name in SOURCES if getattr(beam, name)]
    if len(given) != 1:
        words = " and ".join(given) or "none"
        raise ConfigError(f"{where}: beam: one of {', '.join(SOURCES)} wanted, not {words}")
    address = beam.url or beam.prometheus
    if address and not re.fullmatch(r"https?://[^/\s@]+(/\S*)?", address):
        raise ConfigError(f"{where}: beam.{given[0]}: {address}: write it as http://host:port/path, without user")
    if beam.patience_s < beam.every_s + beam.timeout_s:
        raise ConfigError(
            f"{where}: beam.patience_s: {beam.patience_s:g} is less than one look may take, every_s + timeout_s = "
            f"{beam.every_s + beam.timeout_s:g}, so the beam would be lost again and again; raise it"
        )
    if beam.max_age_s and not beam.file:
        raise ConfigError(f"{where}: beam.max_age_s: only a file has an age, and the source is {given[0]}; take it out")
    for word, name in beam.names.items():
        _mode(name, f"{where}: beam.names.{word}")


def _check_ramp(to_cloud: ToCloud, where: str) -> None:
    try:
        stage_sizes(to_cloud.spreads, 1000)
    except BadRamp as error:
        raise ConfigError(f"{where}: to_cloud.ramp: {str(error).removeprefix('--ramp ')}") from error


def _known_keys(table: Mapping[str, Any], kind: type[msgspec.Struct], where: str, above: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{where}: {above}{key} is unknown{nearest(key, fields)}")
        if key == "rule" and isinstance(value, list):
            for number, rule in enumerate(value, 1):
                if isinstance(rule, dict):
                    _known_keys(rule, WrittenRule, where, f"rule[{number}].")
        inner = fields[key].type
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _known_keys(value, inner, where, f"{key}.")


def _counted(key: str) -> str:
    """Returns msgspec's path with rules counted from 1, as people do."""
    return re.sub(r"rule\[(\d+)\]", lambda found: f"rule[{int(found[1]) + 1}]", key)
