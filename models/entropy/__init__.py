"""The entropy model of latents: coding order, scales, range coder."""
