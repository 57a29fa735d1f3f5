"""How much of an insurer's rate limit a bulk of cancellations uses, and how an urgent one passes it."""
