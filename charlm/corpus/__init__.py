"""Read a text from its files, and turn it into batches of ids."""
