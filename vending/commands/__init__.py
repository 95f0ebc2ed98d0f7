"""The commands: what a person types, and what they read back. Each module is one verb or noun."""
