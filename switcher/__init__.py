"""The daemon of a filter unit: it carries out the switch."""
