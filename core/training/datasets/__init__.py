"""Where letters come from. Nothing here imports torch, so that the parser child starts quickly."""
