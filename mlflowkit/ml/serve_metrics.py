"""The server's counters, in the text format that Prometheus reads.

Only the event loop's thread touches them, so there is no lock. Labels come from a fixed
set (our own paths, HTTP statuses), never from what a client sends.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds of the latency histogram, in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Metrics:
    """What a server counts. `started` is in seconds since the epoch."""

    started: float = field(default_factory=time.time)
    in_flight: int = 0
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    buckets: dict[str, list[int]] = field(default_factory=dict)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        self.requests[path, status] += 1
        self.seconds[path] = self.seconds.get(path, 0.0) + seconds
        counts = self.buckets.setdefault(path, [0] * (len(BUCKETS) + 1))
        counts[bisect_left(BUCKETS, seconds)] += 1

    def text(self, *, ready: bool, info: dict[str, str]) -> str:
        """All of it as an exposition; `info` are the labels of the model's info metric."""
        lines = [
            *_head("mlflowkit_requests_total", "counter", "Requests answered."),
            *(
                f"mlflowkit_requests_total{_labels(path=path, status=str(status))} {count}"
                for (path, status), count in sorted(self.requests.items())
            ),
            *_head("mlflowkit_request_seconds", "histogram", "Time to answer a request."),
            *(line for path in sorted(self.buckets) for line in self._histogram(path)),
            *_head("mlflowkit_requests_in_flight", "gauge", "Requests being answered now."),
            f"mlflowkit_requests_in_flight {self.in_flight}",
            *_head("mlflowkit_ready", "gauge", "1 when the model answers."),
            f"mlflowkit_ready {int(ready)}",
            *_head("mlflowkit_model_info", "gauge", "The model that is served."),
            *([f"mlflowkit_model_info{_labels(**info)} 1"] if info else []),
            *_head("process_start_time_seconds", "gauge", "When the process started."),
            f"process_start_time_seconds {self.started:.3f}",
        ]
        return "\n".join(lines) + "\n"

    def _histogram(self, path: str) -> list[str]:
        name, total, lines = "mlflowkit_request_seconds", 0, []
        for bound, count in zip((*BUCKETS, "+Inf"), self.buckets[path], strict=True):
            total += count
            lines.append(f"{name}_bucket{_labels(path=path, le=str(bound))} {total}")
        lines.append(f"{name}_sum{_labels(path=path)} {self.seconds[path]:.6f}")
        lines.append(f"{name}_count{_labels(path=path)} {total}")
        return lines


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _labels(**labels: str) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + inside + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
