"""Draws the demonstration: what waited, what ran, and how many workers there were, over time."""

from __future__ import annotations

from pathlib import Path

from local.scenarios.demo.samples import Sample

WAITING, BACKLOG, RUNNING = "#b07aa1", "#f28e2b", "#4e79a7"
DESIRED, WORKERS, CONSUMING = "#222222", "#59a14f", "#4e79a7"


def draw(samples: list[Sample], *, trigger_t: float, title: str, path: Path) -> None:
    """Write a PNG of the samples; time counts from the burst's trigger, in seconds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [s for s in samples if s.t >= trigger_t - 5]
    t = [s.t - trigger_t for s in shown]
    figure, (load, fleet) = plt.subplots(2, 1, sharex=True, figsize=(10, 6), height_ratios=(3, 2), layout="constrained")
    load.fill_between(t, [s.waiting for s in shown], color=WAITING, alpha=0.2, linewidth=0)
    load.plot(t, [s.waiting for s in shown], color=WAITING, label="waiting in Airflow (scheduled or queued)")
    load.plot(t, [s.backlog for s in shown], color=BACKLOG, label="backlog in Redis")
    load.plot(t, [s.active for s in shown], color=RUNNING, label="running on workers")
    load.set_ylabel("tasks")
    load.set_title(title, loc="left")
    fleet.fill_between(t, [s.running for s in shown], step="post", color=WORKERS, alpha=0.35, linewidth=0)
    fleet.step(t, [s.running for s in shown], where="post", color=WORKERS, label="running workers")
    fleet.step(
        t, [s.desired for s in shown], where="post", color=DESIRED, linestyle="--", label="desired by the autoscaler"
    )
    fleet.set_ylabel("workers")
    fleet.set_xlabel("seconds since the burst")
    fleet.step(t, [s.consuming for s in shown], where="post", color=CONSUMING, label="workers that take tasks")
    # Room above the lines for the legend.
    fleet.set_ylim(0, 1.5 * max([s.desired for s in shown] + [s.running for s in shown]))
    fleet.yaxis.get_major_locator().set_params(integer=True)
    for axes in (load, fleet):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper right", frameon=False, ncols=3 if axes is fleet else 1)
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)
    plt.close(figure)
