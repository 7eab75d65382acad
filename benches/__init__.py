"""Speed and memory, as ratios within one run. Judged by people; never a timed test."""
