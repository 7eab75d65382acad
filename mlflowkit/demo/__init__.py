"""What the demo starts and shows: a local S3 server, and real images to put on it.

Nothing here is imported by the rest of the package.
"""
