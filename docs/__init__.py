"""The pages of the project, and what writes those of docs/reference."""
