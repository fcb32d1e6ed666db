"""The collector's log: one SQLite file, its accounts, and what people ask it."""
