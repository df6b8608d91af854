"""Where letters come from. Nothing here but `download` imports torch, so that the parser child starts quickly."""
