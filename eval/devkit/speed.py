"""How fast our loop is against the devkit's: same scenes, same planner, metrics on, one core, one run."""

from __future__ import annotations

import gc
import shutil
import statistics
import time
from typing import TYPE_CHECKING, Any

from drive.datasets.nuplan.scout import scout
from drive.eval.devkit.compare import OWN_TRAFFIC
from drive.eval.devkit.export import export
from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.registry import load_planner
from drive.sim.loop import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def speed(
    scenes: Sequence[str],
    work: Path,
    planner: str = "idm",
    traffic: str = "log",
    repeats: int = 3,
    note: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Processor seconds a scene: ours (reading the log, driving, scoring) and the devkit's (driving, scoring;
    it reads as it goes), of our planner and of its own IDM; medians over `repeats`.

    The first drive of each is not counted, for it compiles, and loads the map: the devkit keeps maps, so ours
    is kept as well, while the log is read anew each time. Neither watches over its planner.
    """
    from drive.datasets.nuplan.scenario import read_scenario
    from drive.eval.devkit.host import devkit_planner
    from drive.sim.nuplan.planner import ToolkitPlanner
    from drive.sim.nuplan.run import quiet_devkit, simulate_devkit

    quiet_devkit()
    made = load_planner(planner)
    rows: list[dict[str, Any]] = []
    for scene in scenes:
        exported = export(scene, work)
        spent: dict[str, list[float]] = {}
        steps = 0
        first = None
        for _ in range(repeats + 1):
            gc.collect()  # what the devkit left behind is not ours to pay for
            begin = time.process_time()
            scenario = read_scenario(exported.log, exported.token, restore=False, maps=exported.maps)
            first = first or scenario
            run = simulate(
                first,
                made,
                traffic=OWN_TRAFFIC[traffic],
                visibility="all",
                stop=scenario.num_steps - 1,
                watchdog=None,
            )
            NUPLAN_CLS.evaluate(run)
            spent.setdefault("ours", []).append(time.process_time() - begin)
            folder = work / "speed"
            shutil.rmtree(folder, ignore_errors=True)
            both = [ToolkitPlanner(made, scout), devkit_planner("idm_planner", {})()]
            for official in simulate_devkit(
                [exported.log], exported.maps, both, traffic, folder, tokens=[exported.token]
            ):
                spent.setdefault(official.planner, []).append(official.seconds)
                steps = official.steps
        row = {name: statistics.median(values[1:]) for name, values in spent.items()}
        rows.append({"scene": scene, "steps": steps, **row})
        theirs = row[f"drive_{made.spec.name}"]
        note(
            f"{scene}: ours {row['ours']:.3f} s, the devkit with our {planner} {theirs:.2f} s "
            f"({theirs / row['ours']:.0f} times), with its own IDM {row['IDMPlanner']:.2f} s"
        )
    ratio = [row[f"drive_{made.spec.name}"] / row["ours"] for row in rows]
    return {"rows": rows, "median_ratio": statistics.median(ratio), "smallest_ratio": min(ratio)}
