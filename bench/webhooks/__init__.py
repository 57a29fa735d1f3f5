"""Webhook intake beside a bare Flask route. `make bench`."""
