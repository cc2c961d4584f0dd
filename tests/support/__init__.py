"""Builders that several test modules use."""
