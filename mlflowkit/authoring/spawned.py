"""The `__main__` of a process that a task spawned (`multiprocessing`, not forked).

Such a process runs its parent's main module again, by name; here the name is this one, and
what it has is the task's code from its bundle. It never runs the task itself.
"""

from __future__ import annotations

import json
import os

from mlflowkit.authoring.open_bundle import TASK_VARIABLE, open_bundle

if __name__ == "__mp_main__":
    folder, task_id = json.loads(os.environ[TASK_VARIABLE])
    globals().update(open_bundle(folder).main_names(task_id))
