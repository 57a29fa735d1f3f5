"""/console: pages for the people on call. They show what GET /v1 shows to an operator, and press what POST /v1 does.

Rendered here, readable and usable without JavaScript; htmx only keeps the overview fresh.
"""
