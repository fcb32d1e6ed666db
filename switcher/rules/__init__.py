"""The rules of the machine: plain functions `(state, event) -> (state, effects)`, by position. Pure."""
