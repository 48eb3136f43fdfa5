/**
 * The bare specifier "undici" is Bun's own stub, which drops every TLS option without a word. This file
 * of the real package is not the stub, and imports a third less than the whole of it.
 */
declare module "undici/lib/dispatcher/client.js" {
  export { Client as default } from "undici/types/client";
}
