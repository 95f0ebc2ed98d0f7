"""Messages to people: written with what they tell of, delivered afterwards at least once."""
