"""Doors: HTTP and the command line. Nothing is decided here."""
