// node weights.mjs: loads the weights files whose names come on stdin, one JSON line each.
import { createInterface } from "node:readline";
import { RdaeError } from "../../web/errors.js";
import { loadDecoder } from "../../web/node.js";

async function judged(path) {
  try {
    await loadDecoder(path);
    return {};
  } catch (error) {
    if (!(error instanceof RdaeError)) throw new Error(path, { cause: error });
    return { error: error.code };
  }
}

for await (const path of createInterface({ input: process.stdin })) console.log(JSON.stringify(await judged(path)));
