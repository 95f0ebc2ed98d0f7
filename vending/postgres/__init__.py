"""The database: PostgreSQL run as part of the server, connections to it, and its migrations."""
