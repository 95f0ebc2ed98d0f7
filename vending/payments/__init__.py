"""Money that has arrived: what an operator reported, stored exactly once."""
