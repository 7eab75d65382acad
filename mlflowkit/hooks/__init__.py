"""Hooks: thin clients for outside systems, each named by a connection.

A hook holds the one import of its library and turns its errors into ours.
It never knows about DAGs, tasks or runs.
"""
