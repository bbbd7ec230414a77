// A scINN model in JavaScript, for Node and the browser alike: docs/file-format.md, and nothing else.

import { readMetadata, withoutDefault } from "./onnx.mjs";

const NEWEST_FORMAT = 3;
const BLOCK = 96; // cells that are run together, always as many: then no cell's result depends on its neighbours
const LEAST_OVERLAP = 0.3;
const LOGARITHMS_BELOW = { counts: 25, tpm: 30, fpkm: 30 };

/** Return what a model file says of itself, and its bytes. */
export function readModel(bytes) {
  const metadata = readMetadata(bytes);
  const format = Number(metadata.get("scinn.format"));
  if (!(format >= 1)) throw new Error("the file is not a scINN model: it has no scinn.format in its metadata.");
  if (format > NEWEST_FORMAT) throw new Error(`the model has format ${format}; formats up to ${NEWEST_FORMAT} are read.`);
  return {
    bytes: withoutDefault(bytes, "measured"),
    genes: JSON.parse(metadata.get("scinn.genes")),
    geneIds: JSON.parse(metadata.get("scinn.gene_ids") ?? "[]"),
    unit: metadata.get("scinn.unit"),
  };
}

/** Find a batch's genes in the model: the column of each, undefined where the model does not know it. */
export function matchGenes(model, names) {
  const known = new Map();
  model.geneIds.forEach((id, column) => id && known.set(id, column));
  model.genes.forEach((gene, column) => known.set(gene, column));
  const columns = names.map((name) => known.get(name) ?? known.get(name.replace(/^(ENS[A-Z]*G\d{11})\.\d+$/, "$1")));
  const measured = new Float32Array(model.genes.length);
  for (const [place, column] of columns.entries()) {
    if (column === undefined) continue;
    if (measured[column]) throw new Error(`the batch has the gene ${names[place]} more than once. Sum or drop the copies.`);
    measured[column] = 1;
  }
  const matched = measured.reduce((sum, one) => sum + one, 0);
  if (matched < LEAST_OVERLAP * model.genes.length) {
    const examples = `The model has genes such as ${model.genes.slice(0, 3).join(", ")}`;
    throw new Error(`the batch has ${matched} of the model's ${model.genes.length} genes, too few. ${examples}.`);
  }
  return { columns, measured, matched };
}

/**
 * Fill the zeros of a batch.
 *
 * @param ort    onnxruntime-web
 * @param model  from readModel
 * @param batch  genes: names of the columns; rows: cells × genes, numbers in the model's unit
 * @returns      rows like the batch's: its non-zeros as they were, and genes that the model does not know
 */
export async function impute(ort, model, { genes, rows }) {
  const { columns, measured } = matchGenes(model, genes);
  checkUnit(model.unit, rows);
  const width = model.genes.length;
  // 3: errors only. The default that is not one any more would be worth a warning otherwise.
  const session = await ort.InferenceSession.create(model.bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  const result = [];
  for (let start = 0; start < rows.length; start += BLOCK) {
    const block = rows.slice(start, start + BLOCK);
    const expression = new Float32Array(BLOCK * width); // model genes that the batch lacks, and rows left over, stay 0
    block.forEach((row, cell) => columns.forEach((column, place) => {
      if (column !== undefined) expression[cell * width + column] = row[place];
    }));
    const inputs = {
      expression: new ort.Tensor("float32", expression, [BLOCK, width]),
      measured: new ort.Tensor("float32", measured, [width]),
    };
    const { imputed } = await session.run(inputs, ["imputed"]);
    const filled = (cell, column) => Number(imputed.data[cell * width + column].toPrecision(9)); // all that float32 holds
    result.push(...block.map((row, cell) =>
      row.map((value, place) => (value !== 0 || columns[place] === undefined ? value : filled(cell, columns[place])))));
  }
  await session.release();
  return result;
}

function checkUnit(unit, rows) {
  const fractions = rows.some((row) => row.some((value) => value % 1 !== 0));
  const largest = rows.reduce((most, row) => row.reduce((a, b) => Math.max(a, b), most), 0);
  if (fractions && largest < LOGARITHMS_BELOW[unit]) {
    throw new Error(`the batch looks log-transformed: it has fractions, and no value above ${largest}. The model takes ${unit}.`);
  }
}
