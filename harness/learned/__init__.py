"""What every learned codec shares: the file header, weights and model cards, shapes, tensors."""
