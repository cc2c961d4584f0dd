"""The sections of a config, a module for each: its keys, their defaults and what they mean."""
