"""Keep what was measured: records, store, manifest, files and pictures."""
