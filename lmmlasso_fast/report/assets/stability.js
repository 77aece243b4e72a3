// Selection frequencies, and a cutoff that is moved together with the bound that belongs to it.

const BOUNDS = { MAX_FALSE_NONE: "none", MAX_FALSE_UNIMODAL: "unimodal", MAX_FALSE_R_CONCAVE: "r-concave" };
let cutoffIndex = 0;

function startStability() {
  const found = data.stability;
  if (!found) return;
  show("stability");
  if (found.bounds && found.bounds.CUTOFF.length) {
    const slider = byId("cutoff");
    slider.max = found.bounds.CUTOFF.length - 1;
    const wanted = found.cutoff || 0.75;
    cutoffIndex = Math.min(lowerBound(found.bounds.CUTOFF, wanted - 1e-9), found.bounds.CUTOFF.length - 1);
    slider.addEventListener("input", () => setCutoff(Number(slider.value)));
  } else {
    byId("cutoff-controls").hidden = true;
    byId("bound-plot-box").hidden = true;
  }
  drawFrequencies();
  drawBounds();
  drawStabilityPath();
  setCutoff(cutoffIndex);
}

function cutoff() {
  const { bounds } = data.stability;
  return bounds && bounds.CUTOFF.length ? bounds.CUTOFF[cutoffIndex] : null;
}

function setCutoff(index) {
  cutoffIndex = index;
  const { bounds } = data.stability;
  const at = cutoff();
  if (at !== null) {
    byId("cutoff").value = index;
    byId("cutoff-value").textContent = format(at);
    const names = { N_SNPS: "SNPs selected", N_GROUPS: "LD groups selected" };
    Object.entries(BOUNDS).forEach(([name, label]) => { names[name] = `false at most (${label})`; });
    fillNumbers(byId("cutoff-numbers"), Object.keys(bounds).filter((name) => name !== "CUTOFF")
      .map((name) => [names[name] || name, bounds[name][index], name]));
    byId("cutoff").setAttribute("aria-valuetext", `cutoff ${format(at)}, ${bounds.N_SNPS[index]} SNPs`);
    moveLine("bound-plot", at);
    const entry = charts.get("frequency-plot");
    if (entry) {
      entry.chart.data.datasets.find((dataset) => dataset.label === "_level").data.forEach((point) => { point.y = at; });
      entry.chart.update("none");
    }
  }
  fillGroups();
}

function fillGroups() {
  const { groups, n_groups } = data.stability;
  if (!groups) {
    byId("groups-title").hidden = true;
    return;
  }
  const at = cutoff() ?? 0;
  const rows = groups.LD_GROUP.map((_, k) => k).filter((k) => groups.SEL_FREQ_GROUP[k] >= at);
  byId("groups-title").textContent = `LD groups from this frequency on: ${rows.length}` +
    (n_groups > groups.LD_GROUP.length && rows.length === groups.LD_GROUP.length ? " (the first)" : "");
  fillTable(byId("groups"), [{ name: "Group", numeric: true }, { name: "Position" },
    { name: "SNPs", numeric: true }, { name: "Lead" }, { name: "Frequency", numeric: true },
    { name: "of lead", numeric: true }],
  rows.map((k) => [groups.LD_GROUP[k], regionOf(k), groups.N_SNPS[k],
    groups.LEAD_ID[k], groups.SEL_FREQ_GROUP[k], groups.SEL_FREQ_LEAD[k]]));
}

function regionOf(k) {
  const { CHROM, START, END } = data.stability.groups;
  if (START[k] <= 0) return `${CHROM[k]}, position unknown`;
  const [start, end] = [START[k], END[k]].map((position) => position.toLocaleString("en-US"));
  return `${CHROM[k]}:${start}` + (end === start ? "" : `–${end}`);
}

// Frequencies by rank: SNPs, and groups with their leads' names.
function drawFrequencies() {
  const { frequencies, groups } = data.stability;
  const most = 100;
  const snps = (frequencies || []).slice(0, most).map((y, k) => ({ x: k + 1, y }));
  const grouped = groups ? groups.SEL_FREQ_GROUP.map((y, k) => ({ y, lead: groups.LEAD_ID[k] }))
    .sort((a, b) => b.y - a.y).slice(0, most).map((point, k) => ({ x: k + 1, ...point })) : [];
  const end = Math.max(snps.length, grouped.length, 1);
  draw("frequency-plot", `Selection frequencies of the first ${end} SNPs and LD groups`, () => ({
    type: "scatter",
    data: { datasets: [
      { label: "SNPs", data: snps, radius: 3.2, backgroundColor: palette.blue, borderWidth: 0 },
      { label: "LD groups", data: grouped, pointStyle: "rectRot", radius: 5, backgroundColor: "transparent",
        borderColor: palette.green, borderWidth: 1.6 },
      horizontalLine(cutoff() ?? 0, 0, end + 1),
    ].filter((dataset) => dataset.data.length) },
    options: options({ x: axis("rank", { min: 0, max: end + 1 }), y: axis("selection frequency", { min: 0, max: 1.02 }),
      legend: true,
      tooltip: ({ raw }) => [...(raw.lead ? [`group of ${raw.lead.slice(0, 60)}`] : []),
        `rank ${raw.x}: ${format(raw.y)}`] }),
  }));
}

function drawBounds() {
  const { bounds } = data.stability;
  if (!bounds || !bounds.CUTOFF.length) return;
  const names = Object.keys(BOUNDS).filter((name) => bounds[name]);
  const dashes = [[2, 3], [6, 3], []];
  const points = names.map((name) => bounds[name].map((y, k) => ({ x: bounds.CUTOFF[k], y }))
    .filter((point) => point.y !== null && point.y > 0));
  const all = points.flat().map((point) => point.y);
  if (!all.length) {
    byId("bound-plot-box").hidden = true;
    return;
  }
  const [low, high] = [Math.min(...all), Math.max(...all)];
  draw("bound-plot", "Bounds on the expected number of false selections by cutoff", () => ({
    type: "line",
    data: { datasets: [
      ...names.map((name, k) => line(BOUNDS[name], points[k], [palette.neutral, palette.blue, palette.vermillion][k],
        { borderDash: dashes[k] })),
      verticalLine(cutoff(), low, high),
    ] },
    options: options({ x: axis("cutoff", { min: bounds.CUTOFF[0], max: 1 }),
      y: axis("false SNPs at most, in expectation", { type: "logarithmic",
        ticks: { callback: (value) => (/^[125]/.test(String(value / 10 ** Math.floor(Math.log10(value) + 1e-9)))
          ? format(value, 2) : "") } }),
      legend: true,
      tooltip: ({ raw, dataset }) => `${dataset.label}, cutoff ${format(raw.x)}: ${format(raw.y, 4)}` }),
  }));
}

function drawStabilityPath() {
  const { path } = data.stability;
  if (!path || !path.lines.length) {
    byId("stability-path-box").hidden = true;
    return;
  }
  const byAlpha = path.level === "ALPHA";
  const dashes = [[], [6, 3], [2, 3]];
  draw("stability-path-plot", "Selection frequencies of the first LD groups' leads along the path", () => {
    const colours = seriesColours();
    return {
      type: "line",
      data: { datasets: path.lines.map(({ id, x, y }, k) => line(id.slice(0, 24),
        x.map((level, i) => ({ x: byAlpha ? at(level) : level, y: y[i] })), colours[k % colours.length],
        { borderDash: dashes[Math.floor(k / colours.length) % dashes.length] })) },
      options: options({ x: axis(byAlpha ? "−log10 alpha" : "SNPs selected per replicate"),
        y: axis("frequency of leads", { min: 0, max: 1 }),
        tooltip: ({ raw, dataset }) => `${dataset.label}: ${format(raw.y)} at ${format(raw.x, 4)}` }),
    };
  });
}
