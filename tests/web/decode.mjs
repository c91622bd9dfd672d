// node decode.mjs simd|plain WEIGHTS...: decodes the files whose names come on stdin, one JSON line each.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { RdaeError } from "../../web/errors.js";
import { loadDecoder } from "../../web/node.js";

const [build, ...weights] = process.argv.slice(2);
const decode = await loadDecoder(weights, { simd: build === "simd" });
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function judged(path) {
  try {
    const { data, width, height, header, metadata } = await decode(Uint8Array.from(await readFile(path)));
    const rgb = Buffer.alloc(3 * width * height), alpha = Buffer.alloc(width * height);
    for (let i = 0; i < alpha.length; i++) {
      rgb.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
      alpha[i] = data[4 * i + 3];
    }
    const icc = metadata.icc && { icc: digest(metadata.icc) };
    return { pixels: digest(rgb), ...(header.alpha && { alpha: digest(alpha) }), ...icc };
  } catch (error) {
    if (!(error instanceof RdaeError)) throw error;
    return { error: error.code };
  }
}

for await (const path of createInterface({ input: process.stdin })) console.log(JSON.stringify(await judged(path)));
