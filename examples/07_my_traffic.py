"""Traffic of one's own: people in a hurry, and what they do to a planner.

python examples/07_my_traffic.py
drive bench --planner idm --planner pdm --traffic examples/07_my_traffic.py:HURRIED
A package registers it: [project.entry-points."drive.traffic"] hurried = "my_traffic:HURRIED"
"""

import drive
from drive.sim.kernels.layout import Controller
from drive.sim.traffic import TrafficModel

# The intelligent driver model with short headways, that picks up speed quickly and brakes late.
HURRIED = TrafficModel(
    "hurried", Controller.IDM, min_gap=0.7, headway=0.6, acceleration=2.5, deceleration=4.0, anticipate=False
)

if __name__ == "__main__":
    for traffic in ("idm", f"{__file__}:HURRIED"):
        results = drive.bench(
            ["idm", "pdm"],
            scenarios=["gen/dense_merge/0:3", "gen/unprotected_left/0:3"],
            traffic=traffic,
            out=f"out/traffic/{'hurried' if 'HURRIED' in traffic else traffic}",
            force=True,
        )
        scores = {name: results.planner(name)["scores"]["nuplan_cls"]["mean"] for name in results.planners}
        print(results.path.name, {name: round(mean, 3) for name, mean in scores.items()})
