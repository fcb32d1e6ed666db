"""From the log to index servers, each document once."""
