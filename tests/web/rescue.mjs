// node rescue.mjs WEIGHTS...: decodes the files whose names come on stdin as far as they are whole, one JSON line each:
// what is damaged, and a file of the pixels beside each, NAME.rgba.
import { readFile, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { RdaeError } from "../../web/errors.js";
import { loadDecoder } from "../../web/node.js";

const decode = await loadDecoder(process.argv.slice(2));

async function judged(path) {
  const damage = [];
  try {
    const { data } = await decode(Uint8Array.from(await readFile(path)), { damage });
    await writeFile(`${path}.rgba`, data);
    return { damage };
  } catch (error) {
    if (!(error instanceof RdaeError)) throw error;
    return { error: error.code };
  }
}

for await (const path of createInterface({ input: process.stdin })) console.log(JSON.stringify(await judged(path)));
