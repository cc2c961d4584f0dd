"""The network and its cells, n-grams, and their mixture."""
