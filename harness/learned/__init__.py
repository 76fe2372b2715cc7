"""What every learned codec shares: bitstream header, weights and their cards, shapes, tensors."""
