"""Cells of a mapped notebook that run once for all its task instances.

    analysis   which cells those are (pure)
    process    the process that runs them, and is forked for each instance
    recording  what they put out; safety: whether a fork may have their variables
    held       the kernel server's side;  client: the execution's side

Rule: where it is not certain that an instance's kernel is as if it had run these cells
itself, it runs them itself, and the log says why.
"""
