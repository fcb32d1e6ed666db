"""Colours and words for values, the same in every panel, from Okabe and Ito's palette for any colour vision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from contract.modes import MODES

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
ORANGE: Final = "#E69F00"
RED: Final = "#D55E00"
PINK: Final = "#CC79A7"
GREY: Final = "#999999"

MODE_COLOURS: Final[Mapping[str, str]] = {mode.value: facts.colour for mode, facts in MODES.items()}
CORE_COLOURS: Final[Mapping[str, str]] = {
    "idle": SKY, "online": BLUE, "used": BLUE, "cloud": GREEN, "quarantined": PINK, "except": RED, "broken": RED,
}  # fmt: skip
OUTCOME_COLOURS: Final[Mapping[str, str]] = {
    "done": GREEN, "refused": ORANGE, "superseded": SKY, "vms_failed": RED,
}  # fmt: skip


def mode_mappings() -> list[ValueMapping]:
    """Returns how a mode's code is shown: its name and colour; nothing is shown as a lost node."""
    words = {
        str(facts.code): ValueMappingResult(text=mode.value, color=facts.colour, index=facts.code)
        for mode, facts in MODES.items()
    }
    lost = ValueMappingResult(text="not heard of", color=GREY, index=len(MODES))
    options = DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL, result=lost)
    return [ValueMap(options=words), SpecialValueMap(options=options)]


def word_mappings(colours: Mapping[str, str]) -> list[ValueMapping]:
    """Returns how words are coloured."""
    return [ValueMap(options={word: ValueMappingResult(text=word, color=colour) for word, colour in colours.items()})]


def present(text: str, colour: str) -> list[ValueMapping]:
    """Returns how the 1 of a series is shown that is only there while something holds."""
    return [ValueMap(options={"1": ValueMappingResult(text=text, color=colour)})]


def yes_or_no() -> list[ValueMapping]:
    """Returns how 1 and 0 are shown."""
    words = {"1": ValueMappingResult(text="yes", color=GREEN), "0": ValueMappingResult(text="no", color=RED)}
    return [ValueMap(options=words)]


def fixed(colour: str) -> list[DynamicConfigValue]:
    """Returns the override that gives a series its colour."""
    return [DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})]
