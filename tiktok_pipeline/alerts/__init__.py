"""Alerts on problems and notices of live streams, sent through one webhook.

`webhook` sends, `outbox` limits repeats and keeps messages until they are delivered, `on_air` detects whose stream
began or ended. The sensors in `defs/alerts/` find the reasons and keep the state in their cursors.
"""
