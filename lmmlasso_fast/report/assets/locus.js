// The surroundings of one SNP: scan and selection frequency by position.

const locus = { chrom: null, pos: null, id: "" };

// Opens the locus around an exact point of the genome plot.
function openLocus(index, focus = true) {
  const { points } = data.manhattan;
  Object.assign(locus, { chrom: points.chrom[index], pos: points.pos[index], id: points.id[index] });
  drawLocus();
  byId("locus").scrollIntoView({ block: "nearest" });
  if (focus) byId("locus-title").focus({ preventScroll: true });
}

// That of a row of the table; rows without a place on the genome have no locus.
function openLocusOfRow(row) {
  const index = data.manhattan.points.row.indexOf(row);
  if (index >= 0) openLocus(index);
}

function frequencyOf(row) {
  return row >= 0 && column.SEL_FREQ ? column.SEL_FREQ[row] : null;
}

function isSelected(row) {
  return row >= 0 && Boolean(column.SELECTED && column.SELECTED[row]);
}

function pointsAround(width) {
  const { points } = data.manhattan;
  const found = [];
  points.chrom.forEach((chrom, index) => {
    if (chrom === locus.chrom && Math.abs(points.pos[index] - locus.pos) <= width) found.push(index);
  });
  return found;
}

function drawLocus() {
  const { points, chromosomes, scan, bins, window } = data.manhattan;
  const width = Number(byId("locus-width").value);
  const name = chromosomes.name[locus.chrom];
  const found = pointsAround(width);
  byId("locus-title").textContent = `Locus of ${locus.id}, chromosome ${name}`;
  const marked = found.filter((index) => isSelected(points.row[index]));
  const plain = found.filter((index) => !isSelected(points.row[index]));
  const place = (index, y) => ({ x: points.pos[index] / 1e6, y, index });
  const heights = (indices) => indices.filter((index) => points.height[index] !== null)
    .map((index) => place(index, points.height[index]));
  const frequencies = found.filter((index) => frequencyOf(points.row[index]) !== null)
    .map((index) => place(index, frequencyOf(points.row[index])));
  const mega = locus.pos / 1e6;
  const x = () => axis(`chromosome ${name}, Mb`, { min: mega - width / 1e6, max: mega + width / 1e6,
    ticks: { callback: (value) => Number(value.toFixed(3)) } });
  draw("locus-plot", `SNPs within ${width / 1000} kb of ${locus.id}`, () => ({
    type: "scatter",
    data: { datasets: [
      ...(scan ? [
        { label: "selected", data: heights(marked), pointStyle: "triangle", radius: 7, hoverRadius: 9,
          backgroundColor: palette.vermillion, borderColor: palette.surface, yAxisID: "y" },
        { label: "−log10 p", data: heights(plain), radius: 3.5, hoverRadius: 6,
          backgroundColor: palette.blue, borderColor: palette.surface, borderWidth: 0.5, yAxisID: "y" },
      ] : []),
      ...(frequencies.length ? [{ label: "selection frequency", data: frequencies, pointStyle: "rectRot",
        radius: 6, hoverRadius: 8, backgroundColor: "transparent", borderColor: palette.green,
        borderWidth: 2, yAxisID: scan ? "right" : "y" }] : []),
    ].filter((dataset) => dataset.data.length) },
    options: options({
      x: x(),
      y: scan ? axis("−log10 p", { min: 0, grace: "6%" }) : axis("selection frequency", { min: 0, max: 1.05 }),
      more: scan && frequencies.length ? { right: axis("selection frequency",
        { position: "right", min: 0, max: 1.05, grid: { drawOnChartArea: false } }) } : {},
      legend: true,
      tooltip: ({ raw }) => describePoint(raw.index),
    }),
  }));
  const kept = bins.CHROM.length && width > window
    ? ` Around peaks every SNP within ${window / 1000} kb is shown; farther ones may be left out.` : "";
  byId("locus-status").textContent = `${found.length} SNPs from ` +
    `${megabases(Math.max(locus.pos - width, 0))} to ${megabases(locus.pos + width)}.${kept}`;
  fillLocusTable(found);
}

function fillLocusTable(found) {
  const { points } = data.manhattan;
  const rank = (index) => points.height[index] ?? frequencyOf(points.row[index]) ?? -1;
  const best = [...found].sort((a, b) => rank(b) - rank(a)).slice(0, 10);
  const columns = [{ name: "ID" }, { name: "Position" },
    ...(data.manhattan.scan ? [{ name: "−log10 p", numeric: true }] : []),
    ...(column.SEL_FREQ ? [{ name: "Selection frequency", numeric: true }] : []),
    ...(column.BETA_STD ? [{ name: "BETA_STD", numeric: true }] : [])];
  fillTable(byId("locus-table"), columns, best.map((index) => [
    points.id[index], unknownPositions.has(index) ? "unknown"
      : points.place[index] ?? points.pos[index].toLocaleString("en-US"),
    ...(data.manhattan.scan ? [points.height[index]] : []),
    ...(column.SEL_FREQ ? [frequencyOf(points.row[index])] : []),
    ...(column.BETA_STD ? [points.row[index] >= 0 ? column.BETA_STD[points.row[index]] : null] : []),
  ]), "The first ten; NA: in no result file");
}

function describePoint(index) {
  const { points, chromosomes, scan } = data.manhattan;
  const where = unknownPositions.has(index) ? "position unknown, drawn " + (scan ? "between its neighbours" : "at the chromosome's beginning")
    : points.place[index] ??
      `${chromosomes.name[points.chrom[index]]}:${points.pos[index].toLocaleString("en-US")}`;
  const frequency = frequencyOf(points.row[index]);
  return [points.id[index].slice(0, 60), where,
    ...(scan && points.height[index] !== null ? [`−log10 p ${format(points.height[index], 5)}`] : []),
    ...(frequency !== null ? [`selection frequency ${format(frequency)}`] : []),
    ...(isSelected(points.row[index]) ? ["selected"] : [])];
}
