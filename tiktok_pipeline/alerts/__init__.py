"""Telling people: alerts when something needs them, notices of who is live, through one webhook.

`webhook` sends, `outbox` decides what is sent again and keeps what could not be sent, `on_air` knows whose stream
began or ended. The sensors in `defs/alerts/` look for reasons and keep the state in their cursors.
"""
