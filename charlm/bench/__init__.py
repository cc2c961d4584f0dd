"""Measure how fast charlm is on this machine."""
