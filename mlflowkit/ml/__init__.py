"""Images in, a served model out: the steps of the main job, as plain functions.

Each works in a task, in a notebook cell and in a script alike. Importing this
package loads nothing; torch, Pillow and boto3 are loaded by what uses them.
"""
