"""Short messages: what they say in the customer's language, and the carriers that take them."""
