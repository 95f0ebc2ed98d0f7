"""A small outside world to run the server against: it shares no code with what it tests."""
