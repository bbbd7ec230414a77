// node impute.mjs MODEL.onnx BATCH.csv IMPUTED.csv

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { impute, matchGenes, readModel } from "./scinn.mjs";
import { formatTable, parseTable } from "./table.mjs";

ort.env.wasm.numThreads = 1;

async function main([modelPath, batchPath, outputPath]) {
  if (!outputPath) throw new Error("usage: node impute.mjs MODEL.onnx BATCH.csv IMPUTED.csv");
  if (existsSync(outputPath)) throw new Error(`${outputPath} is there already. Choose another name, or remove it.`);
  const model = readModel(readFileSync(modelPath));
  const batch = parseTable(readFileSync(batchPath, "utf8"));
  const { matched } = matchGenes(model, batch.genes);
  console.error(`The batch has ${matched} of the model's ${model.genes.length} genes; its values are taken for ${model.unit}.`);
  const rows = await impute(ort, model, batch);
  writeFileSync(`${outputPath}.part`, formatTable(batch, rows));
  renameSync(`${outputPath}.part`, outputPath); // it has its name when it is whole
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
});
