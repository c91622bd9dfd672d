/** What is wrong with a file, a model or a connection. The codes are those of FORMAT.md, section 10,
 * `unavailable` for what could not be fetched, and `failed` for a worker that did not start or stopped. */
export class RdaeError extends Error {
  /**
   * @param {string} code
   * @param {string} message one line for people
   */
  constructor(code, message) {
    super(message);
    this.name = "RdaeError";
    this.code = code;
  }
}

/**
 * @param {unknown} condition
 * @param {string} message
 * @param {string} [code]
 * @returns {asserts condition}
 */
export function require(condition, message, code = "corrupt") {
  if (!condition) throw new RdaeError(code, message);
}
