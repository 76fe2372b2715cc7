"""The table of metrics, and how each is computed."""
