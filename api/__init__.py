"""The HTTP door: thin handlers over core. Never imports torch."""
