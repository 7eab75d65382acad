"""Going on from the failed cell: what a kernel held after its costly cells, and how to have it again.

    analysis   which names a cell mentions, and what it does beside them   (pure)
    plan       what to restore, what to replay, where to start             (pure)
    store      files named by their content, and a manifest for each step
    pickles, memory, survey, ambient, imports, inside    work in the kernel
    outside    the execution's side: hooks, and the executed notebook's words

A checkpoint is opened in a kernel only. Where it cannot be sure, a cell runs again.
"""
