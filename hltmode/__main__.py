"""`python -m hltmode` is `hltmode`."""

from hltmode.main import main

main()
