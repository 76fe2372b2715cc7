"""What machine and process this is: paths, hashes, memory, counters, software and hardware."""
