// The table of SNPs: sorted, filtered, a page at a time; what the filter leaves as TSV.

const PAGE = 25;
const view = { rows: [], page: 0, sort: null, descending: false };

function startTable() {
  const n = data.table.values.length ? data.table.values[0].length : 0;
  if (!n) return;
  show("snps");
  byId("table-lead").textContent = `${format(n)} SNPs that the result files point at: selected, most often ` +
    "selected on subsamples, first on the path, most significant. BETA and BETA_STD are of the chosen alpha, " +
    "BETA_SCAN and SE_SCAN of the test of the SNP alone. A Lasso coefficient has no p-value.";
  const names = [...new Set(column.CHROM)];
  byId("chromosome").replaceChildren(element("option", { value: "" }, "all"),
    ...names.map((name) => element("option", { value: `=${name}` }, name.slice(0, 40))));
  byId("filter-column").replaceChildren(...data.table.columns.filter(({ numeric }) => numeric)
    .map(({ name }) => element("option", { value: name }, name)));
  byId("only-selected").parentElement.hidden = !column.SELECTED;
  for (const id of ["search", "chromosome", "only-selected", "filter-column", "filter-sign", "filter-value"]) {
    byId(id).addEventListener("input", applyFilter);
  }
  byId("previous").addEventListener("click", () => turnTo(view.page - 1));
  byId("next").addEventListener("click", () => turnTo(view.page + 1));
  byId("download").addEventListener("click", download);
  drawHead();
  applyFilter();
}

function drawHead() {
  const cells = data.table.columns.map(({ name, numeric }) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => sortBy(name));
    const cell = element("th", { scope: "col", className: numeric ? "number" : "" }, button);
    cell.dataset.name = name;
    return cell;
  });
  byId("table").replaceChildren(element("thead", {}, element("tr", {}, ...cells)), element("tbody"));
}

// The first click on numbers puts the largest first, on text the first of the alphabet; the next turns it.
function sortBy(name) {
  const { numeric } = data.table.columns.find((one) => one.name === name);
  view.descending = view.sort === name ? !view.descending : numeric;
  view.sort = name;
  for (const cell of byId("table").tHead.rows[0].cells) {
    const sorted = cell.dataset.name === name;
    if (sorted) cell.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
    cell.firstChild.textContent = cell.dataset.name + (sorted ? (view.descending ? " ↓" : " ↑") : "");
  }
  applyFilter();
}

// Missing values come last in both directions.
function compare(a, b) {
  const values = column[view.sort];
  const [x, y] = [values[a], values[b]];
  if (x === null || y === null) return (x === null) - (y === null) || a - b;
  const order = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
  return (view.descending ? -order : order) || a - b;
}

function applyFilter() {
  const wanted = byId("search").value.trim().toLowerCase();
  const chromosome = byId("chromosome").value;
  const only = byId("only-selected").checked;
  const limit = byId("filter-value").value === "" ? null : Number(byId("filter-value").value);
  const limited = column[byId("filter-column").value];
  const least = byId("filter-sign").value === "ge";
  const texts = data.table.columns.filter(({ numeric }) => !numeric).map(({ name }) => column[name]);
  view.rows = column.ID.map((_, row) => row).filter((row) =>
    (!wanted || texts.some((values) => values[row].toLowerCase().includes(wanted))) &&
    (!chromosome || column.CHROM[row] === chromosome.slice(1)) &&
    (!only || isSelected(row)) &&
    (limit === null || (limited[row] !== null && (least ? limited[row] >= limit : limited[row] <= limit))));
  if (view.sort) view.rows.sort(compare);
  turnTo(0);
}

function turnTo(page) {
  const pages = Math.max(Math.ceil(view.rows.length / PAGE), 1);
  view.page = Math.min(Math.max(page, 0), pages - 1);
  const first = view.page * PAGE;
  const rows = view.rows.slice(first, first + PAGE);
  byId("table").tBodies[0].replaceChildren(...rows.map(rowOf));
  byId("table-status").textContent = `${format(view.rows.length)} of ${format(column.ID.length)} SNPs` +
    (rows.length ? `; rows ${first + 1} to ${first + rows.length}` : "");
  byId("previous").disabled = view.page === 0;
  byId("next").disabled = view.page === pages - 1;
}

function rowOf(row) {
  const cells = data.table.columns.map(({ name }) => {
    if (name !== "ID" || !data.manhattan) return column[name][row];
    const button = element("button", { type: "button", title: "Show its locus" }, column.ID[row]);
    button.addEventListener("click", () => openLocusOfRow(row));
    return button;
  });
  const made = tableRow(data.table.columns, cells);
  made.className = isSelected(row) ? "chosen" : "";
  return made;
}

function asTsv() {
  const names = data.table.columns.map(({ name }) => name);
  const lines = view.rows.map((row) => names.map((name) => column[name][row] ?? "NA").join("\t"));
  return [names.join("\t"), ...lines, ""].join("\n");
}

function download() {
  const url = URL.createObjectURL(new Blob([asTsv()], { type: "text/tab-separated-values" }));
  const link = element("a", { href: url, download: `${data.title}.snps.tsv` });
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}
