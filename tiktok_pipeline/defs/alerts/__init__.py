"""Alerts and notices: sensors that read runs and new raw rows, and send messages to one webhook."""
