"""The sandbox: a world of its own for vendors' developers, where nothing is real but the shapes."""
