"""Notebooks as tasks: checked, parameterized, executed, and told of honestly.

`parameters` checks before a run, `engine` runs, `inside` is what works in the kernel,
`journal` rebuilds what a crash interrupted. Nothing here knows runs, stores or screens,
and nothing is imported before it is used.
"""
