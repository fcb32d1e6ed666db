"""What a collector looks at, and what it makes of it."""
