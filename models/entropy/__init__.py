"""The entropy model: coding order, distributions of latents, range coder, and their training."""
