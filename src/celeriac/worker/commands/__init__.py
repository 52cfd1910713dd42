"""What nodes do when they are told to on the bus: one function per command, listed in the `Panel`."""
