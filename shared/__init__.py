"""Nouns: what the gateway and the workers must agree on.

A module belongs here when both processes use it and it is named after a thing of the domain or a resource.
"""
