// Cells × genes as text: a heading of gene names, then a line for each cell that starts with its name.
// Fields are separated by commas, or by tabs where the heading has one, and are not quoted.

/** Return the genes, the cells and the values (rows, numbers) of a table. */
export function parseTable(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/).filter((line) => line !== "");
  if (lines.length < 2) throw new Error("the batch has no cells.");
  const separator = lines[0].includes("\t") ? "\t" : ",";
  const [corner, ...genes] = lines[0].split(separator);
  const cells = [];
  const rows = lines.slice(1).map((line) => {
    const [cell, ...values] = line.split(separator);
    cells.push(cell);
    if (values.length !== genes.length) {
      throw new Error(`cell ${cell} has ${values.length} values; the heading names ${genes.length} genes.`);
    }
    return values.map((value, place) => parseValue(value, cell, genes[place]));
  });
  return { corner, separator, genes, cells, rows };
}

/** Return a table like one that was parsed, with other values. */
export function formatTable({ corner, separator, genes, cells }, rows) {
  const lines = rows.map((row, cell) => [cells[cell], ...row].join(separator));
  return [[corner, ...genes].join(separator), ...lines, ""].join("\n");
}

function parseValue(text, cell, gene) {
  const value = text.trim() === "" ? NaN : Number(text);
  if (value >= 0 && Number.isFinite(Math.fround(value))) return value;
  throw new Error(`cell ${cell}, gene ${gene}: ${JSON.stringify(text)} is not expression, a number from 0 on.`);
}
