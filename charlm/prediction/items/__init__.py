"""Generate whole items: names, molecules, tunes, lines, each from its beginning to its end."""
