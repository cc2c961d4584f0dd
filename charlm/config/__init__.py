"""Define the settings of a run, and read them from YAML."""
