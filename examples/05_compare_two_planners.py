"""Is one planner better than another? Drive both through the same scenes and look at the differences.

python examples/05_compare_two_planners.py
The same from the command line: drive compare out/compare
"""

import drive

SCENES = ["gen/parked_vehicle/0:4~0.9", "gen/stop_for_lead/2:6~0.9"]

if __name__ == "__main__":
    # Two settings of one planner are two planners too: give them as objects.
    timid = drive.load_planner("idm", {"headway": 3.0})
    results = drive.bench(["idm", timid, "pdm"], scenarios=SCENES, out="out/compare", force=True)
    first, second, third = results.planners  # "idm", "idm-2", "pdm"

    # Scenes differ far more than planners do: pair them, scene by scene, before asking who is better.
    for one, other in [(third, first), (first, second)]:
        pair = results.paired(one, other)
        low, high = pair.ci95
        verdict = "clear" if pair.clear else "not clear: more scenes, or no difference"
        print(f"{one} - {other}: {pair.mean:+.3f} [{low:+.3f}, {high:+.3f}] over {pair.n} scenes, {verdict}")

    # Where do they differ most? Its two replays lie side by side on one page.
    a, b = results.values(third), results.values(first)
    scene = max(a, key=lambda ref: abs(a[ref] - b[ref]))
    print(f"they differ most in {scene}: {third} {a[scene]:.3f}, {first} {b[scene]:.3f}")
    print(f"drive replay {results.path} --filter {scene.replace('/', '_')} -o out/compare/both.html")
