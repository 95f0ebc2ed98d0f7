"""PostgreSQL as part of the server, tried by killing, freezing and filling the real thing."""
