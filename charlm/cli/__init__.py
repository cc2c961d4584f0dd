"""The command line: what each option does, and what is printed."""
