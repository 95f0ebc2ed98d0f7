"""A load test that operations can trust: scenarios of people and partners, over HTTP alone."""
