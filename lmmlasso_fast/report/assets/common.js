// What all sections use: the data, elements made from text, numbers as people read them.

const data = JSON.parse(document.getElementById("data").textContent);

const byId = (id) => document.getElementById(id);

// Texts become text nodes and never markup.
function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

function show(id) {
  byId(id).hidden = false;
}

// Six digits, no exponent while it is readable; NA for what is missing.
function format(value, digits = 6) {
  if (value === null || value === undefined) return "NA";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) return value.toExponential(Math.min(digits, 4) - 1);
  return String(Number(value.toPrecision(digits)));
}

function megabases(position) {
  return `${(position / 1e6).toFixed(3)} Mb`;
}

// A table: columns are {name, numeric}, rows arrays of numbers, text or nodes.
function fillTable(table, columns, rows, caption) {
  const head = element("thead", {}, element("tr", {}, ...columns.map((column) =>
    element("th", { scope: "col", className: column.numeric ? "number" : "" }, column.name))));
  const body = element("tbody", {}, ...rows.map((row) => tableRow(columns, row)));
  table.replaceChildren(...(caption ? [element("caption", {}, caption)] : []), head, body);
}

function tableRow(columns, row) {
  return element("tr", {}, ...row.map((value, k) => {
    const numeric = columns[k].numeric;
    const text = value instanceof Node ? value : numeric ? format(value) : value ?? "NA";
    const cell = element("td", { className: numeric ? "number" : "" }, text);
    if (!numeric && !(value instanceof Node)) cell.title = String(text).slice(0, 300);
    return cell;
  }));
}

// Numbers with their names; data-value has all digits.
function fillNumbers(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value, key]) => {
    const number = element("dd", {}, format(value));
    number.dataset.name = key || name;
    number.dataset.value = value === null || value === undefined ? "NA" : value;
    return element("div", {}, element("dt", {}, name), number);
  }));
}

// Columns of the table of SNPs by name; undefined where no file has them.
const column = {};
data.table.columns.forEach(({ name }, k) => { column[name] = data.table.values[k]; });

// The first index of an ascending list whose value is not below this one.
function lowerBound(values, wanted) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}
