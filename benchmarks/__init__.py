"""What people would pick instead, measured on the same work, in turns: `make bench`."""
