"""Files as nobody should write them, for everything that reads files: `python -m tests.fuzz --help`."""
