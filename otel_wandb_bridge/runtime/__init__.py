"""Threads, locks, signals and exits: the standard library alone."""
