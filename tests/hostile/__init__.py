"""A million hostile requests: `make hostile`. Nothing may answer 5xx, grow, or store an event that nobody signed."""
