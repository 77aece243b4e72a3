// The genome: exact SNPs as points, all others as the outline of cells; zoom, keys, peaks.

const unknownPositions = new Set(data.manhattan ? data.manhattan.points.unknown : []);
const genomeView = { min: 0, max: 1, whole: [0, 1] };

const MEASURES = {
  scan: { title: "−log10 p", of: (index) => data.manhattan.points.height[index] },
  frequency: { title: "selection frequency",
    of: (index) => frequencyOf(data.manhattan.points.row[index]) },
  effect: { title: "|BETA_STD| at the slider's alpha",
    of: (index) => effectAtAlpha(data.manhattan.points.row[index]) },
};

function axisPlace(chrom, pos) {
  return data.manhattan.chromosomes.start[chrom] + pos;
}

function startGenome() {
  if (!data.manhattan) return;
  show("genome");
  const { chromosomes, points, peaks, scan, n, n_exact, test } = data.manhattan;
  const ends = chromosomes.name.map((_, c) => axisPlace(c, chromosomes.last[c]));
  const low = axisPlace(0, chromosomes.first[0]);
  const margin = Math.max((ends[ends.length - 1] - low) * 0.008, 1);
  genomeView.whole = [low - margin, ends[ends.length - 1] + margin];
  [genomeView.min, genomeView.max] = genomeView.whole;
  byId("genome-lead").textContent = scan
    ? `${format(n)} SNPs tested one by one (${test}); ${format(n_exact)} are drawn as points` +
      (n_exact < n ? ", the others as an outline of where there are some." : ".")
    : `${format(n)} SNPs that the analyses point at; there is no scan of all SNPs.`;
  const measures = [["scan", scan], ["frequency", column.SEL_FREQ], ["effect", data.path && data.path.snps.length]];
  byId("measure").replaceChildren(...measures.filter(([, there]) => there)
    .map(([key]) => element("option", { value: key }, MEASURES[key].title)));
  if (!byId("measure").options.length) {
    byId("genome").hidden = true;
    return;
  }
  byId("measure").addEventListener("change", drawGenome);
  const listed = peaks.length ? peaks : indicesByRow().slice(0, 30);
  byId("peak").replaceChildren(element("option", { value: "" }, "choose a locus"), ...listed.map((index) =>
    element("option", { value: index }, `${chromosomes.name[points.chrom[index]].slice(0, 12)}: ` +
      `${points.id[index].slice(0, 40)}` + (scan ? ` (${format(points.height[index], 3)})` : ""))));
  byId("peak").addEventListener("change", (event) => {
    if (event.target.value !== "") openLocus(Number(event.target.value));
  });
  byId("locus-width").addEventListener("change", drawLocus);
  const steps = { "zoom-in": () => zoom(0.5), "zoom-out": () => zoom(2), "pan-left": () => pan(-0.5),
    "pan-right": () => pan(0.5), "zoom-reset": () => setView(...genomeView.whole) };
  for (const [id, step] of Object.entries(steps)) byId(id).addEventListener("click", step);
  listenToPlot(byId("manhattan"));
  drawGenome();
  if (listed.length) openQuietly(listed[0]);
  drawQuantiles();
}

// The first locus is there when the page opens, without moving the page to it.
function openQuietly(index) {
  const { points } = data.manhattan;
  Object.assign(locus, { chrom: points.chrom[index], pos: points.pos[index], id: points.id[index] });
  drawLocus();
}

function indicesByRow() {
  const { row } = data.manhattan.points;
  return row.map((_, index) => index).filter((index) => row[index] >= 0)
    .sort((a, b) => row[a] - row[b]);
}

function currentMeasure() {
  return MEASURES[byId("measure").value];
}

function genomeDatasets() {
  const { points, bins, n } = data.manhattan;
  const measure = currentMeasure();
  const scan = measure === MEASURES.scan;
  const [even, odd, selected] = [[], [], []];
  points.chrom.forEach((chrom, index) => {
    const y = measure.of(index);
    if (y === null || y === undefined) return;
    const list = isSelected(points.row[index]) ? selected : chrom % 2 ? odd : even;
    list.push({ x: axisPlace(chrom, points.pos[index]), y, index });
  });
  const outlines = [[], []];
  if (scan) {
    bins.CHROM.forEach((chrom, k) => {
      const x = axisPlace(chrom, (bins.START[k] + bins.END[k]) / 2);
      for (let at = 0; at < bins.EXTENTS[k].length; at += 2) {
        outlines[chrom % 2].push({ x, y: bins.EXTENTS[k][at], bin: k },
          { x, y: bins.EXTENTS[k][at + 1], bin: k }, { x, y: NaN });
      }
    });
  }
  const colours = [palette.blue, palette.sky];
  const bonferroni = -Math.log10(0.05 / n);
  return [
    { label: "selected", data: selected, pointStyle: "triangle", radius: 6, hoverRadius: 8, pointHitRadius: 4,
      backgroundColor: palette.vermillion, borderColor: palette.surface },
    ...(scan ? [horizontalLine(bonferroni, ...genomeView.whole, "0.05 / number of SNPs")] : []),
    ...[even, odd].map((list, k) => ({ label: `_points${k}`, data: list, radius: scan ? 2.3 : 4,
      hoverRadius: 6, pointHitRadius: 4, backgroundColor: colours[k], borderWidth: 0 })),
    ...outlines.filter((list) => list.length).map((list, k) => ({ label: `_bins${k}`, type: "line", data: list,
      borderColor: colours[k], borderWidth: 2.4, borderCapStyle: "round", pointRadius: 0, pointHitRadius: 3, spanGaps: false })),
  ].filter((dataset) => dataset.data.length);
}

function genomeTicks(scale) {
  const { chromosomes } = data.manhattan;
  const inView = chromosomes.name.map((_, c) => c).filter((c) =>
    axisPlace(c, chromosomes.last[c]) >= scale.min && axisPlace(c, chromosomes.first[c]) <= scale.max);
  if (inView.length === 1 && scale.max - scale.min < genomeView.whole[1] - genomeView.whole[0]) {
    const start = chromosomes.start[inView[0]];
    const step = niceStep((scale.max - scale.min) / 6);
    const ticks = [];
    for (let pos = Math.ceil((scale.min - start) / step) * step; pos <= scale.max - start; pos += step) {
      ticks.push({ value: start + pos, label: `${Number((pos / 1e6).toFixed(4))} Mb` });
    }
    scale.ticks = ticks;
    return;
  }
  scale.ticks = inView.map((c) => ({
    value: (Math.max(axisPlace(c, chromosomes.first[c]), scale.min) +
      Math.min(axisPlace(c, chromosomes.last[c]), scale.max)) / 2,
    label: chromosomes.name[c].slice(0, 12),
  }));
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

function drawGenome() {
  const measure = currentMeasure();
  draw("manhattan", `Manhattan plot: ${measure.title} along the genome. The list of loci and the table ` +
    "of SNPs below have the same content.", () => ({
    type: "scatter",
    data: { datasets: genomeDatasets() },
    options: options({
      x: axis("", { min: genomeView.min, max: genomeView.max, afterBuildTicks: genomeTicks,
        grid: { display: false },
        ticks: { callback: (_, k, ticks) => ticks[k].label, autoSkipPadding: 6 } }),
      y: axis(measure.title, { min: 0, grace: "3%" }),
      legend: true,
      tooltip: ({ raw }) => (raw.bin !== undefined ? describeBin(raw.bin)
        : describePoint(raw.index)),
      filter: ({ raw }) => raw.bin !== undefined || raw.index !== undefined,
      intersect: true,
    }),
  }));
  sayView();
}

function describeBin(k) {
  const { bins, chromosomes } = data.manhattan;
  const extents = bins.EXTENTS[k];
  return [`${format(bins.N[k])} SNPs, ${chromosomes.name[bins.CHROM[k]]}:` +
    `${megabases(bins.START[k])} to ${megabases(bins.END[k])}`,
  `−log10 p up to ${format(extents[extents.length - 1], 4)}`];
}

function setView(min, max) {
  const [first, last] = genomeView.whole;
  const width = Math.min(Math.max(max - min, 20), last - first);
  const left = Math.min(Math.max(min, first), last - width);
  Object.assign(genomeView, { min: left, max: left + width });
  const { chart } = charts.get("manhattan");
  chart.options.scales.x.min = genomeView.min;
  chart.options.scales.x.max = genomeView.max;
  chart.update("none");
  sayView();
}

function zoom(factor, at = (genomeView.min + genomeView.max) / 2) {
  setView(at - (at - genomeView.min) * factor, at + (genomeView.max - at) * factor);
}

function pan(share) {
  const step = share * (genomeView.max - genomeView.min);
  setView(genomeView.min + step, genomeView.max + step);
}

function highestInView() {
  const { points } = data.manhattan;
  const measure = currentMeasure();
  let best = -1;
  points.chrom.forEach((chrom, index) => {
    const x = axisPlace(chrom, points.pos[index]);
    if (x < genomeView.min || x > genomeView.max) return;
    if (best < 0 || (measure.of(index) ?? -1) > (measure.of(best) ?? -1)) best = index;
  });
  return best;
}

function sayView() {
  const { points, chromosomes } = data.manhattan;
  const best = highestInView();
  const names = chromosomes.name.filter((_, c) => axisPlace(c, chromosomes.last[c]) >= genomeView.min &&
    axisPlace(c, chromosomes.first[c]) <= genomeView.max);
  const span = names.length > 1 ? `chromosomes ${names[0]} to ${names[names.length - 1]}`
    : `chromosome ${names[0] ?? "none"}`;
  byId("view").textContent = `In view: ${span}. ` + (best < 0 ? "No SNP drawn as a point."
    : `Highest: ${points.id[best]}, ${currentMeasure().title} ${format(currentMeasure().of(best), 5)}.`);
}

function listenToPlot(canvas) {
  const keys = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), ArrowLeft: () => pan(-0.25),
    ArrowRight: () => pan(0.25), 0: () => setView(...genomeView.whole),
    Enter: () => { const best = highestInView(); if (best >= 0) openLocus(best); } };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const valueAt = (event) => charts.get("manhattan").chart.scales.x
    .getValueForPixel(event.clientX - canvas.getBoundingClientRect().left);
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button === 0) from = { x: event.clientX, value: valueAt(event) };
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return;
    const start = from;
    from = null;
    if (Math.abs(event.clientX - start.x) > 6) {
      const [low, high] = [start.value, valueAt(event)].sort((a, b) => a - b);
      setView(low, high);
    } else {
      clickPlot(event);
    }
  });
  canvas.addEventListener("pointerleave", () => { from = null; });
  canvas.addEventListener("dblclick", () => setView(...genomeView.whole));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;  // the page scrolls
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, valueAt(event));
  }, { passive: false });
}

// A point opens its locus, a column of the outline is zoomed to.
function clickPlot(event) {
  const { chart } = charts.get("manhattan");
  const hits = chart.getElementsAtEventForMode(event, "nearest", { intersect: true }, false)
    .map(({ datasetIndex, index }) => chart.data.datasets[datasetIndex].data[index]);
  const point = hits.find((raw) => raw.index !== undefined);
  if (point) return openLocus(point.index);
  const cell = hits.find((raw) => raw.bin !== undefined);
  if (cell) {
    const width = (genomeView.max - genomeView.min) / 10;
    setView(cell.x - width, cell.x + width);
  }
}

function drawQuantiles() {
  const found = data.quantiles;
  if (!found) return;
  show("quantile-box");
  byId("quantile-lead").textContent = `Genomic-control λ ${format(found.lambda, 4)} of ` +
    `${format(found.n)} tests; without any effect the points lie on the line.`;
  const points = found.expected.map((x, k) => ({ x, y: found.observed[k] }));
  const end = Math.max(...found.expected);
  draw("quantile-plot", `Quantiles of −log10 p, lambda ${format(found.lambda, 4)}`, () => ({
    type: "scatter",
    data: { datasets: [
      { label: "SNPs", data: points, radius: 2.6, backgroundColor: palette.blue, borderWidth: 0 },
      line("_expected", [{ x: 0, y: 0 }, { x: end, y: end }], palette.text, { borderDash: [5, 4] }),
    ] },
    options: options({ x: axis("expected −log10 p", { min: 0 }), y: axis("observed −log10 p", { min: 0, grace: "3%" }),
      tooltip: ({ raw }) => `expected ${format(raw.x, 4)}, observed ${format(raw.y, 4)}` }),
  }));
}
