"""How fast it is, beside others in the same run. Nothing that ships imports this."""
