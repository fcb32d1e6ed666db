"""What every room agrees on: modes, files, paths, records, requests, configuration."""
