"""A score of one's own: how gently a planner brakes, beside the score that nuPlan computes.

python examples/03_my_metric.py
drive bench --planner idm --planner pdm --score nuplan_cls --score examples/03_my_metric.py:Gentle
A package registers it: [project.entry-points."drive.metrics"] gentle = "my_metric:Gentle"
"""

import numpy as np

import drive
from drive.eval.metrics.base import Evaluation, MetricResult


class Gentle:
    """The share of time without hard braking, times the share without jerks."""

    name = "gentle"
    version = "1"  # goes into results; raise it when the rule changes

    def evaluate(self, run):
        """Judge a run log. It may be short, or that of a planner that failed: never raise for it."""
        if len(run.ego) < 3 or run.header["failure"] is not None:
            missing = MetricResult.missing()
            return Evaluation(0.0, {"no_hard_braking": missing, "no_jerk": missing})
        acceleration = run.ego[:, 4]  # columns are named in drive.vehicle
        jerk = np.gradient(acceleration, run.dt)
        braking = MetricResult(
            score=float(np.mean(acceleration > -2.0)),
            statistics={"hardest": float(-acceleration.min())},  # figures for tables
            series={"jerk": jerk},  # curves for the replay
        )
        smooth = MetricResult(float(np.mean(np.abs(jerk) < 4.0)))
        # A score lies in [0, 1]; how its parts make it up is yours to say.
        return Evaluation(braking.score * smooth.score, {"no_hard_braking": braking, "no_jerk": smooth})

    def explain(self):
        """One text for each metric: the rule, and where it comes from."""
        return {
            "no_hard_braking": "share of samples that brake with less than 2 m/s^2",
            "no_jerk": "share of samples whose jerk is below 4 m/s^3",
        }


if __name__ == "__main__":
    results = drive.bench(
        ["idm", "pdm"],
        scenarios=["gen/cut_in/0:3"],
        scores=["nuplan_cls", f"{__file__}:Gentle"],
        out="out/metric",
        force=True,
    )
    for name in results.planners:
        means = {score: found["mean"] for score, found in results.planner(name)["scores"].items()}
        print(name, {score: round(mean, 3) for score, mean in means.items()})
    print(f"report: {results.path / 'report.html'}")
