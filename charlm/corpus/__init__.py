"""The way of a text from its files to batches of ids."""
