"""Training: recipes, crops, the one loop, sessions, export of weights."""
