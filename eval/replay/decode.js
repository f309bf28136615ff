// Reads the page's data block: the inverse of pack.py.

async function loadData() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const text = atob(page.blob);
  let bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  if (page.encoding === "deflate-raw") {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("This browser cannot unpack the page; write it again with: drive replay --plain");
    }
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  const cache = new Map();
  page.array = (name) => {
    if (!cache.has(name)) cache.set(name, name in page.arrays ? decode(bytes, page.arrays[name]) : null);
    return cache.get(name);
  };
  return page;
}

function decode(bytes, [kind, shape, width, step, order, offset]) {
  const count = shape.reduce((a, b) => a * b, 1);
  const plane = (k, i) => bytes[offset + k * count + i];
  if (kind === "u") return bytes.subarray(offset, offset + count);
  if (kind === "f") {
    const raw = new Uint8Array(4 * count);
    for (let k = 0; k < 4; k++) for (let i = 0; i < count; i++) raw[4 * i + k] = plane(k, i);
    const view = new DataView(raw.buffer);
    return Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
  }
  const out = new Float64Array(count);
  const last = shape.length ? shape[shape.length - 1] : 1;
  for (let i = 0; i < count; i++) {
    let folded = 0;
    for (let k = width - 1; k >= 0; k--) folded = folded * 256 + plane(k, i);
    out[i] = folded % 2 ? -(folded + 1) / 2 : folded / 2;
  }
  for (let n = 0; n < order; n++) for (let i = 0; i < count; i++) if (i % last) out[i] += out[i - 1];
  for (let i = 0; i < count; i++) out[i] *= step;
  return out;
}
