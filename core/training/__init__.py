"""Training: configuration, datasets, losses, optimisers and the one loop for all families."""
