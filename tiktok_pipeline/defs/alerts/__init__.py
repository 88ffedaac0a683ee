"""Alerts and notices: sensors that look at runs and at what landed, and tell one webhook."""
