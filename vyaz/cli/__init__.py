"""The command `vyaz`: one file a noun, all on the Python client. Data goes to stdout, everything else to stderr."""
