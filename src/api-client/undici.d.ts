/**
 * Declares the Client of the real undici package. The bare specifier "undici" resolves to Bun's own
 * stub, which silently drops every TLS option. This file is not the stub, and loads a third less
 * than the whole package.
 */
declare module "undici/lib/dispatcher/client.js" {
  export { Client as default } from "undici/types/client";
}
