"""scINN, the training side."""
