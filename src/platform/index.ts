/**
 * Where the course runs. In Node it is Node; in a bundle for browsers the field `browser` of package.json, which every
 * bundler knows, puts `page.ts` in the place of `node.ts`. So nobody sets anything up, and a page carries nothing of Node.
 */
export { platform } from "./node";
export type { Bytes, DisplayContent, Gpu, SendDisplay, Thread } from "./platform";
