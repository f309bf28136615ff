"""A first benchmark: three planners through six scenes, a table, and a report to look at.

python examples/01_first_benchmark.py
The same from the command line:
drive bench --scenarios gen/parked_vehicle/0:3~0.9 --planner constant --planner idm --planner pdm
"""

import drive

if __name__ == "__main__":  # scenes are driven in worker processes, which read this file again
    results = drive.bench(
        ["constant", "idm", "pdm"],
        # gen/FAMILY/SEED is a pure function of its name: the same scene on every machine; ~0.9 is difficult.
        scenarios=["gen/parked_vehicle/0:3~0.9", "gen/stop_for_lead/3:6~0.9"],
        # Everybody else reacts by the intelligent driver model; "log" replays what was recorded.
        traffic="idm",
        out="out/first",
        force=True,  # replace what an earlier run left there
    )

    for name in results.planners:
        planner = results.planner(name)
        score = planner["scores"]["nuplan_cls"]
        low, high = score["ci95"]
        latency = planner["latency_ms"]["p50"]
        print(f"{name:>10} {score['mean']:.3f} [{low:.3f}, {high:.3f}]  {latency:.2f} ms a call")

    # Every run is a log with all that happened: what was driven, what was planned, and what for.
    scene, score = min(results.values("pdm").items(), key=lambda item: item[1])
    run = results.run_log("pdm", scene)
    metrics = run.header["scores"]["nuplan_cls"]["metrics"]
    print(f"pdm is worst in {scene}: {score:.3f}")
    print("  at fault in a collision:", "no" if metrics["no_ego_at_fault_collisions"] == 1.0 else "yes")
    print(f"  {len(run.plan_step)} plans, the lowest speed {run.ego[:, 3].min():.1f} m/s")
    print(f"report: {results.path / 'report.html'}")
