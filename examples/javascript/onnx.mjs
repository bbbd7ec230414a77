// What a runtime for JavaScript does not tell of an ONNX file: its metadata, and inputs that have a default.
// An ONNX file is a protobuf message; four of its fields are enough, so no schema and no library is needed.

// Field numbers of onnx.proto3, and the length of a field by its wire type where that is fixed.
const GRAPH = 7, METADATA = 14, KEY = 1, VALUE = 2, INITIALIZER = 5, TENSOR_NAME = 8;
const FIXED_LENGTH = { 1: 8, 5: 4 };

/** Yield the number and the bytes of each field of a message, leaving out plain numbers. */
export function* fields(message) {
  let position = 0;
  const integer = () => {
    let value = 0;
    for (let scale = 1; position < message.length; scale *= 128) {
      const byte = message[position++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return Infinity; // it does not end
  };
  while (position < message.length) {
    const key = integer(), type = key % 8;
    if (type === 0) {
      if (integer() === Infinity) position = Infinity;
    } else {
      const length = type === 2 ? integer() : FIXED_LENGTH[type];
      if (type === 2) yield [(key - type) / 8, message.subarray(position, position + length)];
      position += length;
    }
  }
  if (position !== message.length) throw new Error("the file is not an ONNX model, or is truncated or damaged.");
}

/** Return the metadata_props of an ONNX file. */
export function readMetadata(bytes) {
  const text = (part) => new TextDecoder().decode(part);
  const entries = [...fields(bytes)].filter(([number]) => number === METADATA).map(([, entry]) => new Map(fields(entry)));
  return new Map(entries.map((entry) => [text(entry.get(KEY)), text(entry.get(VALUE))])); // an empty one may be absent
}

/**
 * Return a copy of an ONNX file in which the default of one input is not its default any more.
 *
 * onnxruntime for JavaScript hands over no input that has a default. Renamed, the default is an unused constant, and
 * the input is one like any other.
 */
export function withoutDefault(bytes, input) {
  const copy = Uint8Array.from(bytes);
  for (const [part, graph] of fields(copy)) {
    if (part !== GRAPH) continue;
    for (const [number, tensor] of fields(graph)) {
      if (number !== INITIALIZER) continue;
      const name = new Map(fields(tensor)).get(TENSOR_NAME);
      if (new TextDecoder().decode(name) === input) name.fill("_".charCodeAt(0)); // a view: this changes the copy
    }
  }
  return copy;
}
