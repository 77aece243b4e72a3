// The path and cross-validation, one slider for both.

const alphas = { values: [], index: 0 };
let betasByRow = new Map();

// |BETA_STD| of a row of the table at the slider's alpha; null if it is not active.
function effectAtAlpha(row) {
  return row >= 0 ? betasByRow.get(row) ?? null : null;
}

function startPath() {
  if (!data.path && !data.cv) return;
  alphas.values = data.path ? data.path.rows.ALPHA : data.cv.ALPHA;
  if (!alphas.values.length) return;
  show("path");
  const slider = byId("alpha");
  slider.max = alphas.values.length - 1;
  const jumps = data.path ? [["First", 0], ["Chosen", data.path.chosen], ["Last", alphas.values.length - 1]] : [];
  if (data.cv) {
    const { best, oneSe } = cvChoices();
    jumps.push(["CV: best", nearestAlpha(data.cv.ALPHA[best])], ["CV: one SE", nearestAlpha(data.cv.ALPHA[oneSe])]);
  }
  byId("alpha-jumps").replaceChildren(...jumps.map(([name, index]) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => setAlpha(index));
    return button;
  }));
  slider.addEventListener("input", () => setAlpha(Number(slider.value)));
  alphas.index = data.path ? data.path.chosen : nearestAlpha(data.cv.ALPHA[cvChoices().best]);
  drawPathCharts();
  const shown = data.path ? data.path.snps.length : 0;
  if (shown && shown < data.path.n_snps) {
    byId("path-hint").textContent = `Coefficients are drawn of ${shown} of the ${format(data.path.n_snps)} SNPs ` +
      "on the path: the largest at the chosen alpha, and the first to enter.";
  }
  setAlpha(alphas.index);
}

function nearestAlpha(alpha) {
  let best = 0;
  alphas.values.forEach((value, k) => {
    if (Math.abs(Math.log(value / alpha)) < Math.abs(Math.log(alphas.values[best] / alpha))) best = k;
  });
  return best;
}

// The largest explained variance, and the largest alpha within a standard error of it.
function cvChoices() {
  const ev = data.cv.EXPLAINED_VARIANCE;
  const best = ev.reduce((at, value, k) => (value !== null && (ev[at] === null || value > ev[at]) ? k : at), 0);
  const least = ev[best] - (data.cv.SE[best] || 0);
  let oneSe = best;
  ev.forEach((value, k) => {
    if (value !== null && value >= least && data.cv.ALPHA[k] > data.cv.ALPHA[oneSe]) oneSe = k;
  });
  return { best, oneSe };
}

// Folds share fractions of alpha_max, so the alphas are those of the path, to rounding.
function cvRow(alpha) {
  if (!data.cv) return -1;
  return data.cv.ALPHA.findIndex((value) => Math.abs(value / alpha - 1) < 1e-9);
}

function setAlpha(index) {
  alphas.index = index;
  const alpha = alphas.values[index];
  byId("alpha").value = index;
  byId("alpha-value").textContent = format(alpha);
  const pairs = [];
  if (data.path) {
    const { rows } = data.path;
    const names = { ALPHA: "alpha", MU: "mu = n alpha", N_ACTIVE: "active SNPs", DUAL_GAP: "duality gap",
      CONVERGED: "converged", VAR_SNP: "variance: SNPs", VAR_RANDOM: "variance: kinship",
      VAR_NOISE: "variance: noise", MFDR: "marginal false discovery rate" };
    Object.keys(rows).filter((name) => name !== "INDEX")
      .forEach((name) => pairs.push([names[name] || name, rows[name][index], name]));
  }
  const k = cvRow(alpha);
  if (k >= 0) {
    if (!data.path) pairs.push(["active SNPs", data.cv.N_ACTIVE[k], "N_ACTIVE"]);
    pairs.push(["held-out explained variance", data.cv.EXPLAINED_VARIANCE[k], "EXPLAINED_VARIANCE"],
      ["standard error", data.cv.SE[k], "SE"], ["correlation", data.cv.CORRELATION[k], "CORRELATION"]);
  }
  fillNumbers(byId("alpha-numbers"), pairs);
  byId("alpha").setAttribute("aria-valuetext", pairs.slice(0, 3).map(([name, value]) => `${name} ${format(value)}`).join(", "));
  moveLine("coefficient-plot", -Math.log10(alpha));
  moveLine("cv-plot", -Math.log10(alpha));
  moveLine("variance-plot", -Math.log10(alpha));
  fillActive();
  const measure = byId("measure");
  if (data.manhattan && measure.value === "effect") drawGenome();
}

function moveLine(id, x) {
  const entry = charts.get(id);
  if (!entry) return;
  const now = entry.chart.data.datasets.find((dataset) => dataset.label === "_now");
  now.data.forEach((point) => { point.x = x; });
  entry.chart.update("none");
}

function activeAt(index) {
  return data.path.snps.map((snp) => {
    const at = lowerBound(snp.index, index);
    return { snp, beta: snp.index[at] === index ? snp.beta[at] : null };
  }).filter(({ beta }) => beta !== null).sort((a, b) => Math.abs(b.beta) - Math.abs(a.beta));
}

function fillActive() {
  if (!data.path) {
    byId("active-title").hidden = true;
    return;
  }
  const active = activeAt(alphas.index);
  betasByRow = new Map(active.filter(({ snp }) => snp.row >= 0).map(({ snp, beta }) => [snp.row, Math.abs(beta)]));
  const n = data.path.rows.N_ACTIVE[alphas.index];
  byId("active-title").textContent = active.length < n ? `Active SNPs: ${active.length} of ${format(n)} shown`
    : `Active SNPs: ${format(n)}`;
  fillTable(byId("active"), [{ name: "ID" }, { name: "CHROM" }, { name: "BETA_STD", numeric: true }],
    active.map(({ snp, beta }) => [snp.id, snp.chrom, beta]));
}

function alphaAxis() {
  return axis("−log10 alpha", { min: -Math.log10(alphas.values[0]),
    max: Math.max(-Math.log10(alphas.values[alphas.values.length - 1]), -Math.log10(alphas.values[0]) + 1e-6) });
}

const at = (alpha) => -Math.log10(alpha);

function drawPathCharts() {
  if (data.path && data.path.snps.length) drawCoefficients();
  else byId("coefficient-plot").parentElement.hidden = true;
  if (data.cv) drawCv(); else byId("cv-plot-box").hidden = true;
  if (data.path) drawVariance(); else byId("variance-plot-box").hidden = true;
}

function drawCoefficients() {
  const { rows, snps } = data.path;
  const betas = snps.flatMap((snp) => snp.beta);
  const [low, high] = [Math.min(0, ...betas), Math.max(0, ...betas)];
  draw("coefficient-plot", `Coefficients of ${snps.length} SNPs along the path`, () => {
    const colours = seriesColours();
    const dashes = [[], [6, 3], [2, 3]];
    return {
      type: "line",
      data: { datasets: [
        ...snps.map((snp, k) => line(snp.id.slice(0, 40), pathOf(snp, rows.ALPHA), colours[k % colours.length],
          { borderWidth: 1.4, borderDash: dashes[Math.floor(k / colours.length) % dashes.length], snp: k })),
        verticalLine(at(alphas.values[alphas.index]), low, high),
      ] },
      options: options({ x: alphaAxis(), y: axis("BETA_STD"),
        tooltip: ({ raw, dataset }) => `${dataset.label}: ${format(raw.y, 4)} at alpha ${format(10 ** -raw.x, 4)}` }),
    };
  });
}

// Zero before the SNP enters and after it leaves.
function pathOf(snp, all) {
  const points = [];
  snp.index.forEach((index, k) => {
    if (index > 0 && (k === 0 || snp.index[k - 1] !== index - 1)) points.push({ x: at(all[index - 1]), y: 0 });
    points.push({ x: at(all[index]), y: snp.beta[k] });
    if (index + 1 < all.length && snp.index[k + 1] !== index + 1) points.push({ x: at(all[index + 1]), y: 0 });
  });
  return points;
}

function drawCv() {
  const { ALPHA, EXPLAINED_VARIANCE: ev, SE } = data.cv;
  const there = ALPHA.map((_, k) => k).filter((k) => ev[k] !== null);
  const curve = (sign) => there.map((k) => ({ x: at(ALPHA[k]), y: ev[k] + sign * (SE[k] || 0) }));
  const all = [...curve(-1), ...curve(1)].map((point) => point.y);
  const { best, oneSe } = cvChoices();
  draw("cv-plot", `Held-out explained variance, largest ${format(ev[best], 4)}`, () => ({
    type: "line",
    data: { datasets: [
      { label: "best", type: "scatter", data: [{ x: at(ALPHA[best]), y: ev[best] }], pointStyle: "circle", radius: 6,
        backgroundColor: palette.vermillion, borderColor: palette.surface },
      { label: "one standard error", type: "scatter", data: [{ x: at(ALPHA[oneSe]), y: ev[oneSe] }],
        pointStyle: "rectRot", radius: 7, backgroundColor: palette.green, borderColor: palette.surface },
      line("explained variance", curve(0), palette.blue),
      line("± standard error", curve(1), palette.sky, { borderWidth: 0.8, fill: "+1", backgroundColor: `${palette.sky}55` }),
      line("_lower", curve(-1), palette.sky, { borderWidth: 0.8 }),
      verticalLine(at(alphas.values[alphas.index]), Math.min(...all), Math.max(...all)),
    ] },
    options: options({ x: alphaAxis(), y: axis("held-out explained variance"), legend: true,
      tooltip: ({ raw, dataset }) => `${dataset.label}: ${format(raw.y, 4)} at alpha ${format(10 ** -raw.x, 4)}` }),
  }));
}

function drawVariance() {
  const { rows } = data.path;
  const parts = [["VAR_SNP", "SNPs", "vermillion", []], ["VAR_RANDOM", "kinship", "blue", [6, 3]],
    ["VAR_NOISE", "noise", "neutral", [2, 3]]];
  draw("variance-plot", "Shares of variance along the path", () => ({
    type: "line",
    data: { datasets: [
      ...parts.map(([name, label, colour, dash]) => line(label,
        rows[name].map((y, i) => ({ x: at(rows.ALPHA[i]), y })), palette[colour], { borderDash: dash })),
      verticalLine(at(alphas.values[alphas.index]), 0, 1),
    ] },
    options: options({ x: alphaAxis(), y: axis("share of variance", { min: 0, max: 1 }), legend: true,
      tooltip: ({ raw, dataset }) => `${dataset.label}: ${format(raw.y, 4)} at alpha ${format(10 ** -raw.x, 4)}` }),
  }));
}
