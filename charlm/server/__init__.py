"""Serve models over HTTP: the completions API that clients know, and a page to write with."""
