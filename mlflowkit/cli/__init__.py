"""The terminal: `mlflowkit run`, `runs`, `demo` and the rest. Draws a `RunView`; works out no state."""
