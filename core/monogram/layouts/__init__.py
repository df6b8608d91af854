"""How the letters of a monogram are placed; one module for each name in `core.registry.Layout`."""
