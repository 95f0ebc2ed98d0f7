"""The promises P2 to P5 as queries over the stored tables; shares no code with what it checks."""
