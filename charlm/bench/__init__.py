"""How fast charlm is on this machine."""
