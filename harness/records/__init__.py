"""What was measured, and where it is kept: records, store, manifest, files and pictures."""
