"""Artifacts: bytes named by their SHA-256, and the values that are made of them.

`base` is the promise, `files` keeps it in a folder, `serializers` turns values into
stored bytes and back. Nothing here knows runs, tasks or the database.
"""
