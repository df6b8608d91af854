"""Training of family `style`, stage by stage."""
