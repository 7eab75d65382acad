"""Where user code runs: template, supervisor, child. The engine never imports what is in a bundle."""
