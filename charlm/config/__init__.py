"""What can be set, and how a config is read from YAML."""
