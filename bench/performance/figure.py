"""One figure of the results: the path by solver and gap, whole processes, growth."""

from pathlib import Path

OURS = "lmmlasso_fast"


def save(results: dict, file: Path) -> bool:
    """Draw the panels for which there are results; return whether there was any."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = []
    if results.get("path"):
        panels.append(lambda axes: _path(axes, results["path"][-1]))
    for problem in results.get("pipeline", []):
        if len(problem["rows"]) > 1:
            panels.append(lambda axes, problem=problem: _pipeline(axes, problem))
    if results.get("scaling"):
        panels.append(lambda axes: _scaling(axes, results["scaling"]))
    if not panels:
        return False
    # letters stay letters, and the same results give the same file
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 8}):
        sheet = Figure(figsize=(3.4 * len(panels), 3.0), layout="constrained")
        for axes, draw in zip(
            sheet.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            draw(axes)
            axes.spines[["top", "right"]].set_visible(False)
        sheet.savefig(file, metadata={"Date": None})
    return True


def _path(axes, problem: dict) -> None:
    solvers = sorted(
        {row["solver"] for row in problem["rows"]},
        key=lambda name: min(row["seconds"] for row in problem["rows"] if row["solver"] == name),
    )
    targets = sorted({row["target"] for row in problem["rows"]}, reverse=True)
    for target, marker in zip(targets, "os^", strict=False):
        rows = [row for row in problem["rows"] if row["target"] == target]
        axes.plot(
            [row["seconds"] for row in rows],
            [solvers.index(row["solver"]) for row in rows],
            marker,
            label=f"gap {target:.0e}",
        )
    axes.set_yticks(range(len(solvers)), solvers)
    axes.invert_yaxis()
    axes.set_xscale("log")
    _one_two_five(axes.xaxis)
    axes.set_xlabel("seconds")
    axes.set_title(f"Path, {problem['name']}")
    axes.legend(frameon=False)


def _pipeline(axes, problem: dict) -> None:
    rows = sorted(problem["rows"], key=lambda row: row["seconds"])
    colours = ["C0" if row["solver"] == OURS else "0.7" for row in rows]
    axes.barh([row["solver"] for row in rows], [row["seconds"] for row in rows], color=colours)
    for k, row in enumerate(rows):
        text = f" {row['seconds']:.3g} s, {row['peak_mb'] / 1e3:.2g} GB"
        axes.text(row["seconds"], k, text, va="center")
    axes.set_xlim(0, 1.5 * max(row["seconds"] for row in rows))
    axes.invert_yaxis()
    axes.set_xlabel("seconds, whole process")
    axes.set_title(problem["name"])


def _scaling(axes, curves: list[dict]) -> None:
    for curve in curves:
        slope = curve["slopes"]["path"]["least_squares"]
        exponent = "" if slope is None else f": exponent {slope:.2f}"
        axes.plot(
            [point[curve["grows"]] for point in curve["points"]],
            [point["timings"]["path"] for point in curve["points"]],
            "o-",
            label=f"{curve['grows'].replace('_', ' ')}{exponent}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _one_two_five(axes.yaxis)
    axes.set_xlabel("what grows")
    axes.set_ylabel("seconds of the path")
    axes.set_title("Growth")
    axes.legend(frameon=False)


def _one_two_five(axis) -> None:
    """Labels at 1, 2 and 5: a decade alone may have none."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
