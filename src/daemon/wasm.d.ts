/**
 * Declares `import path from "x.wasm" with { type: "file" }`, a path that the compiled binary can
 * read.
 */
declare module "*.wasm" {
  const path: string;
  export default path;
}
