"""`python -m charlm` is the `charlm` command."""

from charlm.cli.main import main

main()
