"""HTTP in: what operators, carriers and our own monitoring may ask of the server."""
