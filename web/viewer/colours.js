import { png } from "./png.js";

/* Pictures as browsers draw them. A canvas takes numbers for sRGB, but a PNG in the colours of its profile. */

/**
 * @param {import("../picture.js").Picture} picture
 * @returns {Promise<ImageBitmap>}
 */
export async function drawable(picture) {
  if (picture.metadata.icc)
    try {
      return await createImageBitmap(await png({ ...picture, metadata: { icc: picture.metadata.icc } }, { compress: false }));
    } catch {
      // a profile that this browser does not take: the bare numbers
    }
  const { data, width, height } = picture;
  return createImageBitmap(new ImageData(data, width, height));
}

/**
 * A small copy that fills a box, of which more may lie outside.
 * @param {ImageBitmap} bitmap
 * @param {number} width of the box
 * @param {number} height
 */
export async function small(bitmap, width, height) {
  const scale = Math.min(1, Math.max(width / bitmap.width, height / bitmap.height));
  const size = { resizeWidth: Math.max(1, Math.round(bitmap.width * scale)), resizeHeight: Math.max(1, Math.round(bitmap.height * scale)) };
  return createImageBitmap(bitmap, { ...size, resizeQuality: "high" });
}
