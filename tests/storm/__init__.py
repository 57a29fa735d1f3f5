"""A hundred thousand verified events: `make storm`. Every claim ends at what the simulator says, no milestone twice."""
